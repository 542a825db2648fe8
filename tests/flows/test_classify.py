"""The batch run through its public door, without Ray: accounting, resume, replacement, and what is refused."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import fmnist_ray
from fmnist_ray.bundle.format import MANIFEST, read_bundle, write_bundle
from fmnist_ray.catalogue.plan import Shard
from fmnist_ray.config.classify import ClassifySettings, ColumnNames, parse_share
from fmnist_ray.errors import (
    BundleError,
    CatalogueError,
    ChangedError,
    IncompleteError,
    OutputTakenError,
    ParityError,
    RejectBudgetError,
    SettingError,
    VerifyError,
)
from fmnist_ray.flows.classify import RunSummary, classify
from fmnist_ray.flows.report import rebuild_report
from fmnist_ray.flows.status import run_status
from fmnist_ray.flows.verify import verify_run
from fmnist_ray.schema import PREDICTIONS, REJECTS, Reason
from fmnist_ray.store import open_store

Run = Callable[..., RunSummary]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def run(tiny_bundle: Path, out: Path, in_process: Any) -> Run:
    """classify(catalogue, **settings) into `out` with the tiny bundle."""

    def start(catalogue: Path, executor: Any = None, **options: Any) -> RunSummary:
        chosen = {"catalogue_uri": str(catalogue), "out_uri": str(out), "bundle": str(tiny_bundle), **options}
        chosen_executor = executor or in_process()
        return classify(ClassifySettings(**chosen), lambda: nullcontext(chosen_executor))

    return start


@pytest.fixture
def other_bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """The same network, calibrated otherwise: another digest, other confidences."""
    bundle = read_bundle(str(tiny_bundle))
    folder = tmp_path / "other"
    files = {name: data for name, data in bundle.files.items() if name != "bundle.json"}
    spec = type(bundle.spec).from_json(bundle.spec.to_json().replace(b'"temperature": 1.5', b'"temperature": 3.0'))
    assert spec.temperature == 3.0
    write_bundle(open_store(str(folder)), spec, files)
    return folder


def test_a_run_gives_every_row_and_agrees_with_the_python_interface(
    run: Run, catalogue: Any, pngs: list[bytes], tiny_bundle: Path, out: Path
) -> None:
    ids = [f"p{number}" for number in range(60)]
    folder = catalogue({"product_id": ids[:40], "image": pngs[:40]}, {"product_id": ids[40:], "image": pngs[40:]})
    summary = run(folder, shard_rows=16)
    assert (summary.num_rows, summary.num_predictions, summary.num_rejects) == (60, 60, 0)
    assert summary.num_shards == 5
    assert summary.accuracy is None
    results = fmnist_ray.open_results(str(out))
    predictions = results.predictions()
    assert predictions.schema.equals(PREDICTIONS)
    assert predictions.column("product_id").to_pylist() == ids
    assert predictions.column("input_row").to_pylist() == [*range(40), *range(20)]
    direct = fmnist_ray.load_bundle(str(tiny_bundle)).classify(pngs)
    for name in ("label", "label_id", "confidence", "status", "bundle_digest"):
        assert predictions.column(name).to_pylist() == direct.column(name).to_pylist(), name
    assert len(set(direct.column("label").to_pylist())) > 3
    assert results.rejects().schema.equals(REJECTS)
    assert results.report()["run"]["plan_id"] == summary.plan_id
    assert verify_run(str(out)).num_rows == 60


def test_the_same_command_again_does_nothing_and_agrees(
    run: Run, catalogue: Any, pngs: list[bytes], in_process: Any
) -> None:
    folder = catalogue({"image": pngs})
    first = run(folder, shard_rows=10)
    executor = in_process()
    again = run(folder, executor, shard_rows=10)
    assert executor.rounds == []
    assert (again.num_shards_resumed, again.rows_per_s) == (6, None)
    assert again.plan_id == first.plan_id
    assert run(folder, executor, shard_rows=25).num_shards == 6  # the stored plan decides how rows are cut


def test_a_worker_that_dies_costs_one_round_and_no_shard_is_done_twice(
    run: Run, catalogue: Any, pngs: list[bytes], in_process: Any, out: Path
) -> None:
    deaths = iter([False, False, True, False, True])
    executor = in_process(lambda shard: next(deaths, False))
    summary = run(catalogue({"image": pngs}), executor, shard_rows=10)
    assert summary.num_predictions == 60
    assert [len(shards) for shards in executor.rounds] == [6, 4, 3]
    assert len(list((out / "data" / summary.plan_id).glob("*.predictions.parquet"))) == 6


def test_a_shard_that_always_kills_its_worker_ends_the_run_and_keeps_the_rest(
    run: Run, catalogue: Any, pngs: list[bytes], in_process: Any, out: Path
) -> None:
    folder = catalogue({"image": pngs})
    poison = "00000-0000000020-0000000030"
    with pytest.raises(IncompleteError, match="same command again"):
        run(folder, in_process(lambda shard: shard == poison), shard_rows=10)
    status = run_status(str(out))
    assert not status.committed
    done = status.num_shards_done  # the poison may come first in three rounds in a row, by chance
    assert 2 <= done <= 5
    assert status.num_rows_done == 10 * done
    with pytest.raises(IncompleteError, match="No committed run"):
        fmnist_ray.open_results(str(out))
    assert run(folder, shard_rows=10).num_shards_resumed == done


def deadly(*rows: int, part: int = 0) -> Any:
    """`kills` for rows of one input file that end whoever decodes them."""

    def kills(shard_id: str, worker: Any) -> bool:
        shard = Shard.from_id(shard_id)
        spared = worker.deadly_rows.get(shard_id, ())
        return shard.file == part and any(shard.start <= row < shard.stop and row not in spared for row in rows)

    return kills


@pytest.mark.parametrize("rows", [(20,), (0, 59), (33, 34, 35)])
def test_rows_that_end_their_worker_are_found_and_rejected_and_the_rest_survives(
    run: Run, catalogue: Any, pngs: list[bytes], in_process: Any, out: Path, rows: tuple[int, ...]
) -> None:
    executor = in_process(kills=deadly(*rows))
    summary = run(catalogue({"image": pngs}), executor, shard_rows=20)
    assert summary.rejects_by_reason == {"worker_died": len(rows)}
    results = fmnist_ray.open_results(str(out))
    assert results.rejects().column("input_row").to_pylist() == list(rows)
    assert results.predictions().column("input_row").to_pylist() == sorted({*range(60)} - {*rows})
    assert verify_run(str(out)).num_rows == 60
    assert len(executor.rounds) <= 2 + 2 * 5 + 1  # twice each shard, halves down to a row, all of it once more
    assert len(list((out / "data" / summary.plan_id).glob("*.predictions.parquet"))) == 3


def test_a_worker_that_dies_of_something_else_blames_no_row(
    run: Run, catalogue: Any, pngs: list[bytes], in_process: Any
) -> None:
    deaths = iter([True, True, True])
    summary = run(catalogue({"image": pngs[:20]}), in_process(kills=lambda *_: next(deaths, False)), shard_rows=20)
    assert (summary.num_predictions, summary.num_rejects) == (20, 0)


def test_where_no_worker_can_live_no_row_is_blamed(
    run: Run, catalogue: Any, pngs: list[bytes], in_process: Any
) -> None:
    folder = catalogue({"image": pngs})
    with pytest.raises(IncompleteError, match="same command again"):
        run(folder, in_process(kills=lambda *_: True), shard_rows=20)
    assert run(folder, shard_rows=20).num_rejects == 0


def test_too_many_rejects_are_not_committed_before_somebody_has_looked(
    run: Run, catalogue: Any, pngs: list[bytes], in_process: Any, out: Path
) -> None:
    cells = [*pngs[:30], *([b"<html>"] * 20), b"", *pngs[30:]]
    folder = catalogue({"product_id": [f"p{number}" for number in range(81)], "image": cells})
    with pytest.raises(RejectBudgetError) as caught:
        run(folder, shard_rows=30)
    assert caught.value.exit_code == 3
    assert "21 of 81 rows are rejected (unsupported_format 20, empty 1), more than --max-rejects 0.02" in str(
        caught.value
    )
    assert "row 30 of part-0.parquet, product p30: unsupported_format" in str(caught.value)
    assert not run_status(str(out)).committed
    executor = in_process()
    assert run(folder, executor, max_rejects=0.26).num_rejects == 21
    assert executor.rounds == []


def test_accepted_rejects_are_committed_and_a_few_are_always_fine(run: Run, catalogue: Any, pngs: list[bytes]) -> None:
    folder = catalogue({"image": [b""] * 20})
    assert run(folder).num_rejects == 20
    pq.write_table(pa.table({"image": [b""] * 50}), folder / "part-1.parquet")
    assert run(folder, accept_rejects=True, replace=True).num_rejects == 70


@pytest.mark.parametrize(("text", "share"), [("2%", 0.02), ("0.5", 0.5), ("0", 0.0), ("100%", 1.0)])
def test_a_share_is_written_as_people_do(text: str, share: float) -> None:
    assert parse_share(text) == share


def test_a_share_that_is_none_is_refused() -> None:
    with pytest.raises(SettingError, match="write 2% or 0.02"):
        parse_share("few")
    with pytest.raises(SettingError, match="--max-rejects is 2;"):
        ClassifySettings(catalogue_uri="c", out_uri="o", max_rejects=2)


def test_labels_give_accuracy_and_columns_are_kept(run: Run, catalogue: Any, pngs: list[bytes], out: Path) -> None:
    first = run(catalogue({"image": pngs, "title": [f"t{n}" for n in range(60)], "label": ["Bag"] * 60}))
    labels = fmnist_ray.open_results(str(out)).predictions().column("label").to_pylist()
    assert first.accuracy == labels.count("Bag") / 60
    kept = run(out.parent / "catalogue", columns=ColumnNames(keep=("title", "label")), replace=True)
    assert kept.plan_id != first.plan_id
    table = fmnist_ray.open_results(str(out)).predictions()
    assert table.column("title").to_pylist() == [f"t{n}" for n in range(60)]
    assert table.column("input_label").to_pylist() == ["Bag"] * 60


@pytest.mark.parametrize("spelling", ["name", "id", "float"])
def test_labels_are_understood_as_names_or_ids(run: Run, catalogue: Any, pngs: list[bytes], spelling: str) -> None:
    cells: dict[str, list[Any]] = {"name": ["Bag", None], "id": [8, None], "float": [8.0, None]}
    summary = run(catalogue({"image": pngs[:2], "category": cells[spelling]}), columns=ColumnNames(label="category"))
    assert summary.accuracy in (0.0, 1.0)


def test_another_plan_is_refused_until_replace_and_the_old_run_stays_readable(
    run: Run, catalogue: Any, pngs: list[bytes], other_bundle: Path, out: Path
) -> None:
    folder = catalogue({"image": pngs})
    first = run(folder)
    with pytest.raises(OutputTakenError, match="add --replace"):
        run(folder, bundle=str(other_bundle))
    assert fmnist_ray.open_results(str(out)).commit.plan_id == first.plan_id
    second = run(folder, bundle=str(other_bundle), replace=True)
    now = fmnist_ray.open_results(str(out))
    assert (now.commit.plan_id, now.commit.previous) == (second.plan_id, first.plan_id)
    before = fmnist_ray.open_results(str(out), plan_id=first.plan_id)
    assert before.predictions().column("confidence").to_pylist() != now.predictions().column("confidence").to_pylist()
    assert verify_run(str(out), plan_id=first.plan_id).num_rows == 60


def test_images_that_give_no_answer_are_rejects_with_a_reason(
    run: Run, catalogue: Any, pngs: list[bytes], out: Path
) -> None:
    wide = io.BytesIO()
    Image.new("1", (30_000, 1_000)).save(wide, "PNG")
    cells = [pngs[0], None, b"", b"<html>", pngs[1][:60], wide.getvalue(), pngs[2][:-20] + b"x" * 20]
    summary = run(catalogue({"product_id": [1, None, 3, 4, 5, 6, 7], "image": pa.array(cells, pa.binary())}))
    assert (summary.num_predictions, summary.num_rejects) == (1, 6)
    rejects = fmnist_ray.open_results(str(out)).rejects()
    reasons = dict(zip(rejects.column("input_row").to_pylist(), rejects.column("reason").to_pylist(), strict=True))
    assert reasons[1] == reasons[2] == "empty"
    assert reasons[3] == "unsupported_format"
    assert reasons[5] == "too_large"
    assert {reasons[4], reasons[6]} <= {"truncated", "undecodable"}
    assert rejects.column("product_id").to_pylist() == [None, "3", "4", "5", "6", "7"]
    assert sum(summary.rejects_by_reason.values()) == 6


def test_a_catalogue_without_rows_commits_an_empty_run(run: Run, catalogue: Any, out: Path) -> None:
    summary = run(catalogue(pa.table({"image": pa.array([], pa.binary())})))
    assert summary.committed
    assert (summary.num_rows, summary.rows_per_s) == (0, None)
    told = fmnist_ray.open_results(str(out)).report()["run"]
    assert (told["rows_per_s"], told["runtime"], told["num_workers"]) == (None, None, None)
    assert len(fmnist_ray.open_results(str(out)).predictions()) == 0
    assert verify_run(str(out)).num_rows == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_row_ends_exactly_once_in_predictions_or_rejects(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, tiny_bundle: Path, pngs: list[bytes], in_process: Any
) -> None:
    """Any catalogue: null and repeated ids, odd text, broken cells, empty files, any row groups and shards."""
    folder = tmp_path_factory.mktemp("any")
    (folder / "catalogue").mkdir()
    cell = st.sampled_from([*pngs[:5], None, b"", b"\xff\xd8\xff", b"GIF89a", pngs[7][:80]])
    rows = st.lists(st.tuples(st.none() | st.text(max_size=5), cell), max_size=30)
    expected: Counter[tuple[str, int, str | None]] = Counter()
    for number, content in enumerate(data.draw(st.lists(rows, min_size=1, max_size=3), label="files")):
        name = f"f{number}.parquet"
        columns = {
            "product_id": pa.array([id_ for id_, _ in content], pa.string()),
            "image": pa.array([cell for _, cell in content], pa.binary()),
        }
        size = data.draw(st.integers(1, 12), label="row group size")
        pq.write_table(pa.table(columns), folder / "catalogue" / name, row_group_size=size)
        expected.update((name, row, id_) for row, (id_, _) in enumerate(content))
    chosen = ClassifySettings(
        catalogue_uri=str(folder / "catalogue"),
        out_uri=str(folder / "out"),
        bundle=str(tiny_bundle),
        shard_rows=data.draw(st.integers(1, 20), label="shard rows"),
        accept_rejects=True,
    )
    classify(chosen, lambda: nullcontext(in_process()))
    results = fmnist_ray.open_results(str(folder / "out"))
    found: Counter[tuple[str, int, str | None]] = Counter()
    for table in (results.predictions(), results.rejects()):
        found.update(
            zip(*(table.column(c).to_pylist() for c in ("input_file", "input_row", "product_id")), strict=True)
        )
    assert found == expected
    assert set(results.rejects().column("reason").to_pylist()) <= set(Reason)
    shutil.rmtree(folder)


def test_the_rows_of_a_large_row_group_are_split_and_met_once(run: Run, catalogue: Any, pngs: list[bytes]) -> None:
    folder = catalogue({"image": pngs}, {"image": pngs}, row_group_size=45)
    summary = run(folder, shard_rows=20)
    assert summary.num_predictions == 120
    assert summary.num_shards == 8  # 45 rows in three parts and 15 in one, twice


@pytest.mark.parametrize("kind", ["missing", "empty folder", "not parquet", "corrupt among good"])
def test_a_catalogue_that_cant_be_read_is_refused_before_any_work(
    kind: str, run: Run, tmp_path: Path, pngs: list[bytes], out: Path
) -> None:
    folder = tmp_path / "catalogue"
    if kind != "missing":
        folder.mkdir()
    if kind == "corrupt among good":
        pq.write_table(pa.table({"image": pngs}), folder / "a.parquet")
    if kind in ("not parquet", "corrupt among good"):
        (folder / "b.parquet").write_bytes(b"PAR1 something else")
    corrupt = kind in ("not parquet", "corrupt among good")
    with pytest.raises(CatalogueError, match=r"b\.parquet is not a readable" if corrupt else "No catalogue at"):
        run(folder)
    assert not out.exists()


def test_a_broken_data_page_stops_the_run_and_names_the_file(
    run: Run, catalogue: Any, pngs: list[bytes], out: Path
) -> None:
    folder = catalogue({"image": pngs}, {"image": pngs})
    path = folder / "part-1.parquet"
    data = bytearray(path.read_bytes())
    data[20:400] = bytes(380)
    path.write_bytes(bytes(data))
    with pytest.raises(CatalogueError, match=r"part-1\.parquet can't be read"):
        run(folder)
    assert run_status(str(out)).num_shards_done == 1


def test_wrong_columns_are_named_with_those_there_are(run: Run, catalogue: Any, pngs: list[bytes]) -> None:
    folder = catalogue({"photo": pngs, "price": [1] * 60})
    with pytest.raises(CatalogueError, match=r"no column 'image'; it has photo, price"):
        run(folder)
    with pytest.raises(CatalogueError, match="must hold encoded image bytes .* or names of images"):
        run(folder, columns=ColumnNames(image="price"))
    with pytest.raises(CatalogueError, match="no column 'sku'"):
        run(folder, columns=ColumnNames(image="photo", id="sku"))
    assert run(folder, columns=ColumnNames(image="photo")).num_rows == 60


def test_files_that_differ_in_columns_are_named(run: Run, catalogue: Any, pngs: list[bytes]) -> None:
    folder = catalogue({"image": pngs, "n": [1] * 60}, {"image": pngs, "n": ["1"] * 60})
    with pytest.raises(CatalogueError, match=r"part-1\.parquet holds string, in other files int64"):
        run(folder, columns=ColumnNames(keep=("n",)))


def test_image_bytes_in_a_struct_are_found(run: Run, catalogue: Any, pngs: list[bytes]) -> None:
    cells = [{"bytes": png, "path": "x.png"} for png in pngs]
    assert run(catalogue({"image": cells})).num_predictions == 60


def test_an_input_replaced_during_the_run_stops_it(
    run: Run, catalogue: Any, pngs: list[bytes], in_process: Any
) -> None:
    folder = catalogue({"image": pngs}, {"image": pngs})

    def replace(shard: str) -> bool:
        if shard.startswith("00001"):
            pq.write_table(pa.table({"image": pngs[::-1]}), folder / "part-1.parquet")
        return False

    with pytest.raises(ChangedError, match=r"part-1\.parquet was replaced"):
        run(folder, in_process(replace))


def test_a_changed_bundle_is_refused(
    run: Run, catalogue: Any, pngs: list[bytes], other_bundle: Path, out: Path
) -> None:
    folder = catalogue({"image": pngs})
    path = other_bundle / "model.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ParityError, match=r"model\.onnx was changed"):
        run(folder, bundle=str(other_bundle))
    (other_bundle / MANIFEST).unlink()
    with pytest.raises(BundleError, match="is not a bundle"):
        run(folder, bundle=str(other_bundle))
    assert not out.exists()


def test_an_output_place_that_cant_be_written_is_one_sentence(
    run: Run, catalogue: Any, pngs: list[bytes], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match="name another place"):
        run(catalogue({"image": pngs}), out_uri=str(tmp_path / "file" / "out"))


def test_an_unreadable_receipt_is_done_again(
    run: Run, catalogue: Any, pngs: list[bytes], out: Path, in_process: Any
) -> None:
    folder = catalogue({"image": pngs})
    plan_id = run(folder, shard_rows=10).plan_id
    (out / "_COMMIT.json").unlink()
    receipt = min((out / "receipts" / plan_id).iterdir())
    receipt.write_bytes(b"{half")
    executor = in_process()
    assert run(folder, executor).num_predictions == 60
    assert [len(shards) for shards in executor.rounds] == [1]
    assert verify_run(str(out)).num_rows == 60


def test_verify_names_what_was_changed_or_lost(run: Run, catalogue: Any, pngs: list[bytes], out: Path) -> None:
    plan_id = run(catalogue({"image": pngs}), shard_rows=30).plan_id
    path = min((out / "data" / plan_id).glob("*.predictions.parquet"))
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(VerifyError, match="was changed since the commit"):
        verify_run(str(out))
    path.unlink()
    with pytest.raises(VerifyError, match="is missing"):
        verify_run(str(out))
    path.write_bytes(data)
    assert verify_run(str(out)).num_files == 4


def test_the_report_is_derived_and_can_be_written_anew(run: Run, catalogue: Any, pngs: list[bytes], out: Path) -> None:
    summary = run(catalogue({"image": pngs}))
    page = Path(summary.report_uri)
    before = page.read_bytes()
    shutil.rmtree(out / "report")
    assert Path(rebuild_report(str(out))).read_bytes() == before


def test_settings_are_checked() -> None:
    wrong: dict[str, Any] = {"shard_rows": 0, "workers": 0, "precision": "f16", "runtime": "tpu"}
    for option, value in wrong.items():
        with pytest.raises(SettingError, match=option.replace("_", "-")):
            ClassifySettings(catalogue_uri="c", out_uri="o", **{option: value})
