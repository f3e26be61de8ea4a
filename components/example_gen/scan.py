"""Scans data: inspects every file, compares it with the others, and gives it its side.

`graft check`, the start of `graft run` and ImageExampleGen all call `scan_data`; what differs is what they do with it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import metadata
from itertools import repeat
from pathlib import Path
from typing import Any

from components import images
from components.example_gen.comparison import Findings, judge_rows
from components.example_gen.corrections import correct_rows
from components.example_gen.history import ClassMap, History, map_classes
from components.example_gen.manifest import Row, digest_rows, make_row, summarise_rows
from components.files.paths import is_remote
from components.images import findings, formats, inspection, tensorflow_pixels
from components.options.data import DataOptions
from components.process.machine import semaphore_problem
from components.sources.content.readers import STORED, TooLarge
from components.sources.content.streams import Unreadable
from components.sources.listing import Listing, Source
from components.sources.table import read_source

INSPECTED_AT_ONCE = 64
WORTH_PROCESSES = 512  # below, starting processes takes longer than the work
WORKERS_NICE = 5  # a third of the share of the process that started them, where processors are fewer than both
REMEMBER_EACH = 512
REPORT_SECONDS = 0.5
REMOTE_READERS = 32  # a remote file is mostly waited for
SIDE_CAR = "side_car"  # a flag that never reaches a manifest: neither suffix nor content claims to be an image
CODECS = ("numpy", "pdqhash", "pi-heif", "pillow", "simplejpeg")
ROOM = Path(str(images.__file__)).parent  # its files decide what an inspection finds
log = logging.getLogger("graft.run")


@dataclass(frozen=True)
class ScanSettings:
    """Settings of one scan.

    Attributes:
        report: called with the number of sources done and their total, now and then.
        prepare: called before this process decodes anything, since that may be TensorFlow's first use.
        verify: read every file, whatever the memory knows.
        meanwhile: called while other processes read files, for what this one can use its own time for.
    """

    report: Callable[[int, int], None] = lambda done, total: None
    prepare: Callable[[], None] = lambda: None
    verify: bool = False
    meanwhile: Callable[[], None] = lambda: None


@dataclass
class Scan:
    """The result of a scan.

    Attributes:
        listing: what was scanned.
        rows: of `listing.sources`, in their order, then of `listing.ignored`.
        findings: groups of names: copies, conflicts, leakage.
        class_map: the classes in the order of their index.
        dataset: counts over the rows, the fingerprint and the layout, as `dataset.json` keeps them.
        read: how many sources were read; the others were remembered.
    """

    listing: Listing
    rows: list[Row]
    findings: Findings
    class_map: ClassMap
    dataset: dict[str, Any] = field(default_factory=dict)
    read: int = 0


def scan_data(
    listing: Listing,
    options: DataOptions,
    memory: History,
    looking: ScanSettings = ScanSettings(),
) -> Scan:
    """Inspects and compares all sources; writes nothing but the history, if that is writable.

    Args:
        listing: what to scan.
        options: limits and rules.
        memory: of earlier scans; files it knows are not read.
        looking: reports, preparations, and whether the memory is believed.
    """
    rows, read = inspect_all(listing.sources, options, memory, looking)
    fingerprint = digest_rows(row for row in rows if not row.ignored)
    corrected = correct_rows(rows, listing.root, set(listing.labels), options)
    findings, shares = judge_rows(rows, options, memory)
    rows += [Row(name, ignored=why) for name, why in listing.ignored]
    class_map = map_classes(corrected.classes, rows, memory)
    dataset = summarise_rows(rows, class_map.classes) | findings.counts
    dataset["odd_shares"] = shares
    dataset["class_changes"] = {"new": class_map.new, "gone": class_map.gone, "renamed": class_map.renamed}
    fingerprint = corrected.digest_with(fingerprint)
    dataset |= {"corrections_sha256": corrected.sha256, "lost_corrections": corrected.lost}
    dataset |= {"fingerprint": fingerprint, "layout": listing.layout, "container": listing.container}
    dataset["notes"] = [*listing.notes, *corrected.notes]
    return Scan(listing, rows, findings, class_map, dataset, read)


def inspect_all(
    sources: list[Source], options: DataOptions, memory: History, looking: ScanSettings
) -> tuple[list[Row], int]:
    """Makes a row a source, in their order, and counts the sources that were read; the history keeps these."""
    limits = limits_of(options)
    inspector, started_ns = digest_inspector(limits), time.time_ns()
    rows: list[Any] = [None] * len(sources)
    unknown = []
    known: Iterable[Any] = repeat(None) if looking.verify else memory.recall(sources, inspector)
    for index, (source, found) in enumerate(zip(sources, known)):  # noqa: B905  `repeat` has no end
        if found is None:
            unknown.append(index)
        else:
            rows[index] = _row(source, found)
    done = len(sources) - len(unknown)
    looking.report(done, len(sources))
    fresh: list[tuple[Source, findings.Inspection]] = []
    due = time.monotonic() + REPORT_SECONDS
    for index, found in inspect_sources([(i, sources[i]) for i in unknown], limits, looking):
        rows[index] = _row(sources[index], found)
        fresh.append((sources[index], found))
        done += 1
        if len(fresh) == REMEMBER_EACH:
            memory.remember(fresh, inspector, started_ns)
            fresh.clear()
        if time.monotonic() >= due:
            looking.report(done, len(sources))
            due = time.monotonic() + REPORT_SECONDS
    memory.remember(fresh, inspector, started_ns)
    looking.report(done, len(sources))
    return rows, len(unknown)


def limits_of(options: DataOptions) -> findings.ImageLimits:
    """Returns the limits of an image, in pixels and bytes, and how it is read."""
    size = options.max_pixels, options.min_side, options.max_file_megabytes << 20
    return findings.ImageLimits(*size, options.orientation == "apply", options.alpha)


def keep_places(scan: Scan, options: DataOptions, memory: History) -> None:
    """Remembers which index each class has, and which side each image is on where the data itself does not say."""
    examples = [row for row in scan.rows if row.is_example]
    memory.keep_classes(scan.class_map.places, ((row.sha256, row.label) for row in examples))
    if not any(source.split for source in scan.listing.sources):
        memory.keep_sides(((row.sha256, row.split) for row in examples), options.eval_fraction)


def digest_inspector(limits: findings.ImageLimits) -> str:
    """Digests all that decides the result of an inspection: the code, the versions of codecs, and the limits."""
    versions = [f"{name} {metadata.version(name)}" for name in CODECS]
    code = b"".join(path.read_bytes() for path in sorted(ROOM.glob("*.py")))
    return hashlib.sha256(repr((versions, limits)).encode() + code).hexdigest()[:16]


def inspect_sources(
    sources: list[tuple[int, Source]], limits: findings.ImageLimits, looking: ScanSettings
) -> Iterator[tuple[int, findings.Inspection]]:
    """Reads and inspects, in parallel; gives each source's number and what was found, in any order.

    Local JPEGs and PNGs go to processes of their own, one a processor: their decoders hold the interpreter's lock. All
    else is decoded by TensorFlow too, which this process has or will have loaded anyway, so it stays in threads here;
    so does what the processes find out to need TensorFlow.
    """
    sources.sort(key=lambda pair: (pair[1].path, pair[1].position))  # archives are fast in the order of storage
    shared = [pair for pair in sources if _suits_a_process(pair[1])]
    if len(shared) < WORTH_PROCESSES or not _processes_can_share_work():
        shared = []
    else:
        sources = [pair for pair in sources if not _suits_a_process(pair[1])]
    yield from _inspect_in_threads(sources, limits, looking)
    if shared:
        postponed, by_index = [], dict(shared)
        for index, found in _inspect_in_processes(shared, limits, looking.meanwhile):
            if found.reason == findings.POSTPONED:
                postponed.append((index, by_index[index]))
            else:
                yield index, found
        yield from _inspect_in_threads(postponed, limits, looking)


def _inspect_in_threads(
    sources: list[tuple[int, Source]], limits: findings.ImageLimits, looking: ScanSettings
) -> Iterator[tuple[int, findings.Inspection]]:
    if not sources:
        return
    looking.prepare()
    threads = REMOTE_READERS if is_remote(sources[0][1].path) else os.cpu_count()
    with ThreadPoolExecutor(threads) as pool:
        for batch in pool.map(lambda batch: inspect_batch(batch, limits), _batches(sources, 8)):
            yield from batch


def _processes_can_share_work() -> bool:
    """Whether other processes can help; where they cannot, all is read in threads."""
    if os.cpu_count() == 1:
        return False
    problem = semaphore_problem()
    if problem:
        log.warning("images are read by one process, which is slower: %s", problem)
    return not problem


def _suits_a_process(source: Source) -> bool:
    return source.name.lower().endswith((".jpg", ".jpeg", ".png")) and not is_remote(source.path)


def _inspect_in_processes(
    sources: list[tuple[int, Source]], limits: findings.ImageLimits, meanwhile: Callable[[], None]
) -> Iterator[tuple[int, findings.Inspection]]:
    from joblib import Parallel, delayed
    from joblib.externals.loky import get_reusable_executor

    workers = Parallel(n_jobs=os.cpu_count(), return_as="generator", batch_size=1, pre_dispatch="12*n_jobs")
    try:
        answers = workers(
            delayed(_inspect_without_tensorflow)(batch, limits) for batch in _batches(sources, INSPECTED_AT_ONCE)
        )
        meanwhile()
        for batch in answers:
            yield from batch
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=True)


def _inspect_without_tensorflow(
    batch: list[tuple[int, Source]], limits: findings.ImageLimits
) -> list[tuple[int, findings.Inspection]]:
    """In a worker process, where TensorFlow would take seconds and memory to load, and perhaps a GPU."""
    tensorflow_pixels.postpone_tensorflow()
    _yield_to_others()
    return inspect_batch(batch, limits)


@cache
def _yield_to_others() -> None:
    """Lets the process that waits for this one go first: what it loads meanwhile is what a start-up takes longest."""
    os.nice(WORKERS_NICE)


def inspect_batch(
    batch: Iterable[tuple[int, Source]], limits: findings.ImageLimits
) -> list[tuple[int, findings.Inspection]]:
    """Reads and inspects some sources, one after the other."""
    return [(index, inspect_source(source, limits)) for index, source in batch]


def inspect_source(source: Source, limits: findings.ImageLimits) -> findings.Inspection:
    """Reads and inspects one source; a file that neither suffix nor content call an image is flagged `SIDE_CAR`."""
    if source.problem:
        return findings.Inspection(reason=source.reason, detail=source.problem)
    try:
        content = read_source(source, limits.max_bytes)
    except TooLarge as error:
        return findings.Inspection(bytes=source.size, reason=findings.TOO_LARGE, detail=str(error))
    except Unreadable as error:
        return findings.Inspection(reason=findings.UNREADABLE, detail=str(error))
    found = inspection.inspect_image(source.name, content, limits)
    may_be_beside = source.kind in STORED and formats.is_ignorable(source.name, content)
    return replace(found, flags=(SIDE_CAR,)) if may_be_beside else found


def _row(source: Source, found: findings.Inspection) -> Row:
    """Makes the row of a source; only a walk finds side-cars, so a declared source is never left aside."""
    if SIDE_CAR not in found.flags:
        return make_row(source, found)
    if source.declared:
        return make_row(source, replace(found, flags=()))
    return Row(source.name, sha256=found.sha256, bytes=found.bytes, ignored="not_an_image")


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))
