"""Known answers are those of RFC 6962's reference tree (Certificate Transparency's merkletree test data)."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle
from ledger.errors import ProofError
from ledger.merkle import Frontier, leaf_hash, node_hash
from ledger.tiles import Edge, TileNodes, bundle, bundle_path, index_path, tile_path

INPUTS = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(count)]


def naive_root(hashes: list[bytes]) -> bytes:
    """Section 2.1 of the RFC, word for word."""
    if not hashes:
        return hashlib.sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(naive_root(hashes[:split]), naive_root(hashes[split:]))


@pytest.mark.parametrize("size", range(9))
def test_known_roots(size: int) -> None:
    assert merkle.root([leaf_hash(data) for data in INPUTS[:size]]).hex() == ROOTS[size]


def test_known_inclusion_and_consistency_proofs() -> None:
    hashes = [leaf_hash(data) for data in INPUTS]
    node = merkle.nodes_of(hashes)
    assert [step.hex() for step in merkle.inclusion_proof(0, 8, node)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]
    assert [step.hex() for step in merkle.consistency_proof(6, 8, node)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]


@given(st.integers(0, 400))
def test_the_compact_tree_agrees_with_the_definition(size: int) -> None:
    assert merkle.root(leaves(size)) == naive_root(leaves(size))


@given(st.data(), st.integers(1, 70))
def test_inclusion_proofs_prove_their_leaf_and_no_other(data: st.DataObject, size: int) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = leaves(size)
    root = naive_root(hashes)
    proof = merkle.inclusion_proof(index, size, merkle.nodes_of(hashes))
    merkle.verify_inclusion(index, size, hashes[index], proof, root)
    wrong = [
        (index, size, leaf_hash(b"other"), proof, root),
        (index, size, hashes[index], [*proof, root], root),
        (index, size, hashes[index], proof, leaf_hash(b"root")),
        (size, size, hashes[index], proof, root),
    ]
    if size > 1:
        wrong += [
            (index ^ 1, size, hashes[index], proof, root),
            (index, size, hashes[index], proof[:-1], root),
            (index, size, hashes[index], [proof[0][:-1], *proof[1:]], root),
        ]
    for case in wrong:
        with pytest.raises(ProofError):
            merkle.verify_inclusion(*case)


@given(st.data(), st.integers(1, 70))
def test_consistency_proofs_prove_growth_and_nothing_else(data: st.DataObject, new: int) -> None:
    old = data.draw(st.integers(0, new))
    hashes = leaves(new)
    older, newer = naive_root(hashes[:old]), naive_root(hashes)
    proof = merkle.consistency_proof(old, new, merkle.nodes_of(hashes))
    merkle.verify_consistency(old, new, older, newer, proof)
    other = leaf_hash(b"other")
    wrong = [
        (old, new, other, newer, proof),
        (old, new, older, newer, [*proof, other]),
        (new + 1, new, older, newer, proof),
    ]
    if old > 0:
        wrong.append((old, new, older, other, proof))
    if proof:
        wrong += [
            (old, new, older, newer, proof[:-1]),
            (old, new, older, newer, [other, *proof[1:]]),
            (old, new, older, newer, []),
        ]
    for case in wrong:
        with pytest.raises(ProofError):
            merkle.verify_consistency(*case)


def test_there_is_no_proof_outside_the_tree() -> None:
    node = merkle.nodes_of(leaves(3))
    for index in (-1, 3):
        with pytest.raises(ProofError, match="no entry"):
            merkle.inclusion_proof(index, 3, node)
    with pytest.raises(ProofError, match="cannot extend"):
        merkle.consistency_proof(4, 3, node)


def test_a_copied_frontier_grows_alone() -> None:
    tree = Frontier()
    for leaf in leaves(5):
        tree.append(leaf)
    twin = tree.copy()
    twin.append(leaf_hash(b"x"))
    assert tree.root() == naive_root(leaves(5))
    assert twin.size == 6


def test_tile_paths_are_those_of_the_standard() -> None:
    assert index_path(1_234_067) == "x001/x234/067"
    assert tile_path(0, 0) == "tile/0/000"
    assert tile_path(1, 1000, 17) == "tile/1/x001/000.p/17"
    assert bundle_path(5) == "tile/entries/005"
    assert bundle([b"ab", b""]) == b"\x00\x02ab\x00\x00"


def grow(size: int) -> tuple[Edge, dict[str, bytes]]:
    edge = Edge()
    files: dict[str, bytes] = {}
    for number in range(size):
        files |= dict(edge.add(leaf_hash(b"%d" % number)))
    return edge, files


def test_a_tree_of_70000_has_the_tiles_that_the_standard_lists() -> None:
    edge, full = grow(70_000)
    levels = [path.split("/")[1] for path in full]
    assert (levels.count("0"), levels.count("1"), len(full)) == (273, 1, 274)
    assert sorted(edge.partials()) == ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]


def test_a_tree_of_256_has_one_full_tile_and_one_partial_above() -> None:
    edge, full = grow(256)
    assert sorted(full) == ["tile/0/000"]
    assert sorted(edge.partials()) == ["tile/1/000.p/1"]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 511, 66_000])
def test_proofs_made_from_tiles_alone_verify(size: int) -> None:
    edge, files = grow(size)
    files |= edge.partials()
    hashes = leaves(size)
    root = merkle.root(hashes)
    nodes = TileNodes(size, lambda path: files[path])
    for index in {0, size // 3, size - 1}:
        proof = merkle.inclusion_proof(index, size, nodes.node)
        merkle.verify_inclusion(index, size, hashes[index], proof, root)
    old = max(1, size // 3)
    merkle.verify_consistency(
        old, size, merkle.root(hashes[:old]), root, merkle.consistency_proof(old, size, nodes.node)
    )


def test_a_tile_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ProofError, match="it must have 96"):
        TileNodes(3, lambda _: b"x" * 95).node(0, 1)


@pytest.mark.parametrize(("index", "size"), [(0, 1), (2, 3), (4, 8)])
def test_a_root_with_a_tree_hung_under_a_longer_proof_is_refused(index: int, size: int) -> None:
    """Else whoever chooses the root could prove an entry of a tree that has fewer."""
    hashes = leaves(size)
    step, root = leaf_hash(b"more"), naive_root(hashes)
    proof = [*merkle.inclusion_proof(index, size, merkle.nodes_of(hashes)), step]
    for above in (node_hash(step, root), node_hash(root, step)):
        with pytest.raises(ProofError, match="the inclusion proof is too long"):
            merkle.verify_inclusion(index, size, hashes[index], proof, above)
