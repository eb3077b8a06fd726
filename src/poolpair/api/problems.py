"""What goes wrong, as RFC 9457 has it: problem details with our code and hint."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Response

from poolpair import documents
from poolpair.errors import CATALOGUE, Code, PoolpairError

PROBLEM_JSON = "application/problem+json"
LATE = "the store does not answer"
_UNAVAILABLE = 503
_STATUS = {
    Code.USAGE: 409,
    Code.LEDGER_MOVED: 409,
    Code.INCOMPLETE: 409,
    Code.HOOK_FAILED: 409,
    Code.STORE_SET_BACK: 409,
    Code.TIMEOUT: 504,
    Code.TOKEN: 401,
    Code.ROLE: 403,
    Code.REQUEST: 422,
}
"""What is not in it is about this pool's own state, which the asker cannot mend: 503."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem. `type` is stable for its code; `hint` says what to do."""

    type: str
    title: str
    status: int
    detail: str
    code: Code
    hint: str


def problem_of(error: PoolpairError, status: int | None = None) -> Problem:
    """An error as a problem."""
    return Problem(
        type=f"urn:poolpair:error:{error.code}",
        title=CATALOGUE[error.code].meaning,
        status=status or _STATUS.get(error.code, _UNAVAILABLE),
        detail=error.detail,
        code=error.code,
        hint=error.hint,
    )


def answer_problem(error: PoolpairError, status: int | None = None) -> Response:
    """An error as an answer."""
    problem = problem_of(error, status)
    headers = {"WWW-Authenticate": 'Bearer realm="poolpair"'} if problem.status == 401 else None
    return Response(documents.encode_line(problem), problem.status, headers, PROBLEM_JSON)


def late() -> PoolpairError:
    """Nothing came in time."""
    return PoolpairError(Code.TIMEOUT, LATE, "the database or the share may hang: look at the machine")
