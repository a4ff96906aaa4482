"""Every builder's history leads from a layer to its build step, or to nothing rather than to a wrong one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scanner.evidence import Instruction
from scanner.image.history import instructions
from scanner.oci import HistoryEntry

NOP = "/bin/sh -c #(nop) "


def entries(*steps: str, comment: str = "") -> list[HistoryEntry]:
    """History of steps; those that start with ~ are empty layers. The first one gets *comment*."""
    found = [HistoryEntry(step.lstrip("~"), empty_layer=step.startswith("~")) for step in steps]
    first = HistoryEntry(found[0].created_by, comment, empty_layer=found[0].empty_layer)
    return [first, *found[1:]]


def mapped(history: list[HistoryEntry], layers: int) -> list[tuple[int, tuple[int, int] | None] | None]:
    """(history index, range) for each layer."""
    return [None if each is None else (each.history_index, each.range) for each in instructions(history, layers)]


def test_kth_entry_with_a_layer_made_the_kth_layer() -> None:
    """Entries without a layer are skipped, and created_by is kept as it is."""
    history = entries("COPY a /a # buildkit", "~ENV A=1", "RUN |1 K=V /bin/sh -c x # buildkit", "~CMD x")
    assert instructions(history, 2) == (
        Instruction(0, "COPY a /a # buildkit"),
        Instruction(2, "RUN |1 K=V /bin/sh -c x # buildkit"),
    )


def test_counts_that_differ_map_nothing() -> None:
    """A wrong step is worse than none: squashed, trimmed and absent histories map no layer."""
    history = entries("COPY a /a", "RUN b")
    assert mapped(history, 1) == [None]
    assert mapped(history, 3) == [None, None, None]
    assert mapped([], 2) == [None, None]
    assert mapped([], 0) == []


def test_imported_image_without_created_by() -> None:
    """`docker import` writes a comment only; the entry still is the layer's."""
    assert instructions([HistoryEntry(comment="Imported from -")], 1) == (Instruction(0, ""),)


def test_buildah_in_one_layer_gives_the_range_since_the_base() -> None:
    """All RUNs are marked empty and CMD owns the layer: any step of the range may have written it."""
    own = entries(f"~{NOP}ENV A=1", "~/bin/sh -c echo hi", f"~{NOP}EXPOSE 80", f'{NOP}CMD ["x"]', comment="FROM base:1")
    history = [HistoryEntry("COPY base /"), *own]
    assert mapped(history, 2) == [(0, None), (4, (1, 4))]


def test_buildah_whose_last_step_is_a_run() -> None:
    """The comment FROM tells buildah's collapse from RUNs that changed nothing."""
    history = entries("~/bin/sh -c echo one", "~/bin/sh -c echo two", "/bin/sh -c echo three", comment="FROM base:1")
    assert mapped(history, 1) == [(2, (0, 2))]


def test_collapsed_copy_is_recognised_without_a_comment() -> None:
    """A COPY without a layer exists in collapsed builds only."""
    assert mapped(entries(f"~{NOP}COPY file:abc in / ", "/bin/sh -c make"), 1) == [(1, (0, 1))]


def test_buildah_squash_covers_the_whole_build() -> None:
    """One layer, the base's history dropped: the range is everything."""
    history = entries("~|1 T=v /bin/sh -c echo hi", f"~{NOP}WORKDIR /w", f'{NOP}CMD ["x"]', comment="FROM base:1")
    assert mapped(history, 1) == [(2, (0, 2))]


def test_classic_run_without_changes_is_no_collapse() -> None:
    """The classic builder marks a RUN that changed nothing empty; the next layer is the next step's alone."""
    history = entries("/bin/sh -c one", "~|1 A=b /bin/sh -c echo hi", f"~{NOP} ENV A=1", f"{NOP}WORKDIR /w")
    assert mapped(history, 2) == [(0, None), (3, None)]
    assert mapped(entries("/bin/sh -c one", "~/bin/sh -c echo", "/bin/sh -c two"), 2) == [(0, None), (2, None)]


def test_buildah_with_layers_maps_each_step() -> None:
    """With --layers each RUN owns its layer and metadata steps own none."""
    history = entries(f"~{NOP}ENV A=1", "/bin/sh -c a", "|1 A=b /bin/sh -c b", f"~{NOP}CMD x", comment="FROM base:1")
    assert mapped(history, 2) == [(1, None), (2, None)]


def test_kaniko_maps_the_lines_of_the_dockerfile() -> None:
    """kaniko adds entries only for steps with layers."""
    history = [HistoryEntry("COPY base /"), HistoryEntry("RUN pip install x", author="kaniko")]
    assert mapped(history, 2) == [(0, None), (1, None)]


ENTRIES = st.builds(HistoryEntry, st.text(), st.text(), empty_layer=st.booleans())


@given(st.lists(ENTRIES, max_size=12), st.integers(0, 12))
def test_any_history_gives_one_answer_for_each_layer(history: list[HistoryEntry], layers: int) -> None:
    """Whatever stands in a history: as many answers as layers, indices rising, ranges that end at their step."""
    found = instructions(history, layers)
    assert len(found) == layers
    indices = [each.history_index for each in found if each]
    assert indices == sorted(set(indices))
    for each in found:
        assert each is None or each.range is None or each.range[0] < each.range[1] == each.history_index
