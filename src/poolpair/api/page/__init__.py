"""The page: how the pair stands, in five seconds; and what an operator may order, what-if first. Made here, whole, by templates."""
