"""Only its maker constructs a proof: whoever holds one may rely on it without asking again."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from tests.architecture.source import Module, modules, snippet


@dataclass(frozen=True, slots=True)
class Proof:
    """The class `name` stands in the module `stands`, and only those in `makers` make one.

    Where a function of the maker hands it out, only the modules in `through` may call that function.
    """

    name: str
    stands: str
    makers: frozenset[str]
    hands_out: str = ""
    through: frozenset[str] = frozenset()


PROOFS = (
    Proof("VerifiedJwt", "jose.jwt", frozenset({"jose.jwt"})),
    Proof("VerifiedSdJwt", "vc.presented", frozenset({"vc.presented"})),
    Proof("VerifiedCredential", "vc.verify", frozenset({"vc.verify"})),
    Proof("VerifiedAnswer", "vc.presentations", frozenset({"vc.presentations"})),
    Proof("ProvenKeys", "vc.proofs", frozenset({"vc.proofs"})),
    Proof("BoundKey", "oauth.binding", frozenset({"oauth.dpop", "oauth.certificate"})),
    Proof("CheckedProof", "oauth.dpop", frozenset({"oauth.dpop"})),
    Proof("AuthenticatedClient", "oauth.login", frozenset({"oauth.login"}), "proven", frozenset({"oauth.client_auth"})),
    Proof("Destination", "oauth.redirects", frozenset({"oauth.redirects"})),
    Proof("Caller", "oauth.caller", frozenset({"oauth.caller"})),
    Proof("VerifiedStatusList", "vc.status_token", frozenset({"vc.status_token"})),
)


def _mentions(node: ast.AST | None, names: frozenset[str]) -> bool:
    return node is not None and any(
        (isinstance(part, ast.Name) and part.id in names)
        or (isinstance(part, ast.Attribute) and part.attr in names)
        or (isinstance(part, ast.Constant) and part.value in names)
        for part in ast.walk(node)
    )


def _aliases(module: Module, proof: str) -> frozenset[str]:
    """What the proof is called in this module."""
    return frozenset({proof}) | {
        alias.asname
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == proof and alias.asname
    }


def _harmless(tree: ast.AST) -> Iterator[ast.AST]:
    """Where a class is only spoken of: types, subscripts, isinstance, patterns."""
    for node in ast.walk(tree):
        match node:
            case ast.arg(annotation=ast.AST() as spoken) | ast.AnnAssign(annotation=spoken):
                yield spoken
            case ast.FunctionDef(returns=ast.AST() as spoken) | ast.AsyncFunctionDef(returns=ast.AST() as spoken):
                yield spoken
            case ast.Subscript(slice=spoken):
                yield spoken
            case ast.Call(func=ast.Name(id="isinstance"), args=[_, spoken]):
                yield spoken
            case ast.MatchClass(cls=spoken):
                yield spoken
            case ast.BinOp(op=ast.BitOr()):
                yield node
            case _:
                pass


def _uses(module: Module, proof: str) -> Iterator[str]:
    """Where the class itself is used as a value: called, handed on, given another name."""
    if proof not in module.text:
        return
    names = _aliases(module, proof)
    harmless = {id(part) for spoken in _harmless(module.tree) for part in ast.walk(spoken)}
    for node in ast.walk(module.tree):
        named = (isinstance(node, ast.Name) and node.id in names) or (
            isinstance(node, ast.Attribute) and node.attr == proof
        )
        if named and id(node) not in harmless:
            yield f"{module.at(node)}: {proof} is made or handed on"


def _holders(function: ast.AST, proof: frozenset[str], returning: frozenset[str]) -> frozenset[str]:
    """The names in a function that hold a proof, as far as their types or their origin say so."""
    held: set[str] = set()
    for node in ast.walk(function):
        match node:
            case ast.arg(arg=name, annotation=kind) | ast.AnnAssign(target=ast.Name(id=name), annotation=kind):
                if _mentions(kind, proof):
                    held.add(name)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=func))
                | ast.Assign(targets=[ast.Name(id=name)], value=ast.Await(value=ast.Call(func=func)))
            ):
                if _mentions(func, returning):
                    held.add(name)
            case _:
                pass
    return frozenset(held)


_COPIES = frozenset({"replace", "__replace__", "__setattr__"})


@cache  # each proof asks the same of the same trees
def _altered(tree: ast.AST) -> tuple[ast.expr, ...]:
    """What is copied with a change, or changed behind its back."""
    found: list[ast.expr] = []
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=how) | ast.Attribute(attr=how), args=[what, *_]) if how in _COPIES:
                found.append(what)
            case _:
                pass
    return tuple(found)


def _alterations(module: Module, proof: str, returning: frozenset[str], fields: frozenset[str]) -> Iterator[str]:
    if not any(how in module.text for how in _COPIES):
        return
    for what in _altered(module.tree):
        if isinstance(what, ast.Attribute) and what.attr in fields:
            yield f"{module.at(what)}: {ast.unparse(what)}, which is {proof}, is copied with a change"
    for function in _functions(module.tree):
        if not (altered := _altered(function)):
            continue
        held = _holders(function, _aliases(module, proof), returning)
        for what in altered:
            if isinstance(what, ast.Name) and what.id in held:
                yield f"{module.at(what)}: {what.id}, which is {proof}, is copied with a change"


@cache
def _functions(tree: ast.AST) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]:
    return tuple(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@cache
def _annotated(tree: ast.AST) -> tuple[tuple[str, ast.expr], ...]:
    """The fields of classes: name and type."""
    return tuple(
        (part.target.id, part.annotation)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for part in node.body
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    )


def _forgeries(sources: tuple[Module, ...], proof: Proof) -> list[str]:
    name = frozenset({proof.name})
    returning = frozenset(
        function.name for module in sources for function in _functions(module.tree) if _mentions(function.returns, name)
    )
    fields = frozenset(field for module in sources for field, kind in _annotated(module.tree) if _mentions(kind, name))
    return [
        found
        for module in sources
        if module.name not in proof.makers
        for found in (*_uses(module, proof.name), *_alterations(module, proof.name, returning, fields))
    ]


def _borrowed(sources: tuple[Module, ...], proof: Proof) -> list[str]:
    """Where the function that hands a proof out is called, or handed on, by others than it was made for."""
    return [
        f"{module.at(node)}: {proof.hands_out} is for {', '.join(sorted(proof.through))}"
        for module in sources
        if proof.hands_out and module.name not in proof.makers | proof.through
        for node in ast.walk(module.tree)
        if (isinstance(node, ast.ImportFrom) and _imports(node, proof)) or _is_attribute(node, proof)
    ]


def _imports(node: ast.ImportFrom, proof: Proof) -> bool:
    return node.module == f"deputize.{proof.stands}" and any(alias.name == proof.hands_out for alias in node.names)


def _is_attribute(node: ast.AST, proof: Proof) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == proof.hands_out
        and ast.unparse(node.value).rpartition(".")[2] == proof.stands.rpartition(".")[2]
    )


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_only_its_maker_constructs_a_proof(proof: Proof) -> None:
    forged = _forgeries(modules(), proof) + _borrowed(modules(), proof)
    assert not forged, "\n  ".join([f"{proof.name} is made in {', '.join(sorted(proof.makers))} alone", *forged])


@pytest.mark.parametrize("proof", PROOFS, ids=lambda proof: proof.name)
def test_a_proof_stands_in_its_module_and_cannot_be_changed(proof: Proof) -> None:
    names = {module.name: module.tree for module in modules()}
    gone = {proof.stands, *proof.makers, *proof.through} - names.keys()
    assert not gone, f"there is no {', '.join(sorted(gone))}: mend PROOFS"
    made = [node for node in names[proof.stands].body if isinstance(node, ast.ClassDef) and node.name == proof.name]
    assert made, f"{proof.stands} has no class {proof.name}: mend PROOFS"
    assert any(
        keyword.arg == "frozen" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for decorator in made[0].decorator_list
        if isinstance(decorator, ast.Call)
        for keyword in decorator.keywords
    ), f"{proof.name} is no frozen dataclass"


JWT = PROOFS[0]


@pytest.mark.parametrize(
    "text",
    [
        "VerifiedJwt(claims={})",
        "jwt.VerifiedJwt(claims={})",
        "from deputize.jose.jwt import VerifiedJwt as V\nV(claims={})",
        "make = VerifiedJwt",
        "object.__new__(VerifiedJwt)",
        "convert(x, type=VerifiedJwt)",
        "def f(token: VerifiedJwt): return replace(token, claims={})",
        "def f(token: 'VerifiedJwt'): return dataclasses.replace(token, claims={})",
        "def verify() -> VerifiedJwt: ...\ndef f():\n    told = verify()\n    return replace(told, claims={})",
        "async def make() -> VerifiedJwt: ...\nasync def f():\n    t = await make()\n    object.__setattr__(t, 'a', 1)",
        "class Holder:\n    token: VerifiedJwt\ndef f(held): return replace(held.token, claims={})",
    ],
)
def test_a_forgery_is_found(text: str) -> None:
    assert _forgeries((snippet(text),), JWT)


@pytest.mark.parametrize(
    "text",
    [
        "from deputize.jose.jwt import VerifiedJwt",
        "def f(token: VerifiedJwt | None, all: tuple[VerifiedJwt, ...]) -> VerifiedJwt: return token",
        "Check = Callable[[VerifiedJwt], bool]",
        "isinstance(x, VerifiedJwt)",
        "match x:\n    case VerifiedJwt(): pass",
        "def f(token: VerifiedJwt, ask: Ask): return replace(ask, by=token.claims['sub'])",
        "def f(token: VerifiedJwt): ...\ndef g(token: Other): return replace(token, x=1)",
    ],
)
def test_speaking_of_a_proof_is_no_forgery(text: str) -> None:
    assert not _forgeries((snippet(text),), JWT)


@pytest.mark.parametrize(
    "text",
    ["from deputize.oauth.login import proven", "from deputize.oauth import login\nlogin.proven(client, 'none', None)"],
)
def test_a_borrowed_maker_is_found(text: str) -> None:
    login = next(proof for proof in PROOFS if proof.hands_out)
    assert _borrowed((snippet(text),), login)
    assert not _borrowed((snippet(text, "oauth.client_auth"),), login)
