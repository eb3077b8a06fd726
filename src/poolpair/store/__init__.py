"""What is protected: the application's database (`port`, `sqlite/`), its tree of files (`tree`), and what of them (`profile`)."""
