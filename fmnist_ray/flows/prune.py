"""Prune a bundle: fewer channels in its residual blocks, trained on until it is nearly as good, as a bundle like any
other."""

from __future__ import annotations

import dataclasses

from fmnist_ray.bundle.format import WEIGHTS, Bundle, check_free, read_bundle
from fmnist_ray.bundle.runtimes import load_network
from fmnist_ray.config.prune import PruneSettings
from fmnist_ray.config.train import TrainSettings
from fmnist_ray.errors import BundleError, SettingError
from fmnist_ray.flows.compress import CompressOutcome, compared
from fmnist_ray.flows.train import Execute, Start, train
from fmnist_ray.flows.training_data import load_training_data
from fmnist_ray.networks.data import LabelledImages
from fmnist_ray.networks.job import Report, train_here
from fmnist_ray.networks.pruning import prune_blocks
from fmnist_ray.store import open_store


def prune(settings: PruneSettings, *, command: str, report: Report, execute: Execute = train_here) -> CompressOutcome:
    """Write the bundle with a narrower network, fine-tuned on the bundle's own training images to answer like the one
    that it was; the same validation images calibrate it. The epochs run in this process, or where `execute` does them.

    It has no SVM, whose features would be others: fit one anew. Raises `BundleError` where the bundle does not say how
    it was trained, `SettingError` where its network can't be pruned, `OutputTakenError` as `train`.
    """
    check_free(open_store(settings.out_uri), replace=settings.replace)
    bundle = read_bundle(settings.bundle)
    trained = _training(bundle)
    widths, weights = prune_blocks(load_network(bundle.spec, bundle.files[WEIGHTS]), settings.share)
    fine_tuned = dataclasses.replace(
        trained,
        teacher=bundle.uri,
        teacher_digest=bundle.digest,
        architecture_args={**trained.architecture_args, "inner": widths},
        pretrained=False,
        epochs=settings.epochs,
        cycles=1,
        learning_rate=trained.learning_rate / 2,
    )
    data = load_training_data(fine_tuned)
    if not isinstance(data.train, LabelledImages):
        raise SettingError("The images of this bundle's training don't fit into memory, and pruning holds them there.")
    facts = {"command": command, "channels": f"{settings.share:.0%} fewer in blocks", "from_digest": bundle.digest}
    outcome = train(
        fine_tuned,
        out_uri=settings.out_uri,
        command=bundle.spec.provenance.get("command", "not recorded"),
        recipe=bundle.spec.provenance.get("recipe"),
        execute=execute,
        report=report,
        replace=settings.replace,
        start=Start(weights=weights, facts={"pruned": facts}),
    )
    return compared(bundle, read_bundle(outcome.bundle_uri), "test", data.test)


def _training(bundle: Bundle) -> TrainSettings:
    facts = bundle.spec.provenance
    if WEIGHTS not in bundle.files or "settings" not in facts:
        raise BundleError(
            f"Bundle {bundle.uri} does not hold the weights and the settings of its training: prune the one that train "
            "wrote, and compress the result."
        )
    settings = TrainSettings.from_dict(facts["settings"])
    if settings.ensemble > 1:
        raise BundleError(f"Bundle {bundle.uri} is an ensemble: prune a bundle of one network.")
    return settings
