"""What happens without a human: a new selection is trained on and evaluated."""

import dagster as dg

_CONDITION = dg.AutomationCondition

# `eager` also fires when an upstream is materialised again with the same data version; training again on the same
# selection would be waste.
ON_NEW_DATA = _CONDITION.eager().replace(
    "any_deps_updated", _CONDITION.any_deps_match(_CONDITION.data_version_changed())
)

train_when_selected = dg.AutomationConditionSensorDefinition(
    "train_when_selected",
    target=dg.AssetSelection.assets("pre_fine_tuned_model", "evaluation_report"),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=30,
    description="Pre-fine-tunes on a selection when its content changed, then evaluates.",
)
