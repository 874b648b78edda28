"""A month's costs as CSV for a spreadsheet: a line for each key, and under it one for each of its labels.

Names and labels are written by whoever has a key, and spreadsheets run what looks like a formula: such a text gets an apostrophe in front.
"""

import csv
import io
from collections.abc import Iterable, Mapping

from novitai.domain.money import Usd, dollars
from novitai.policies.cost_report import Total

COLUMNS = (
    "month",
    "key",
    "keyName",
    "label",
    "instances",
    "gpuHours",
    "gpuUsd",
    "diskUsd",
    "adjustmentUsd",
    "totalUsd",
    "savedAgainstOnDemandUsd",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def written(month: str, totals: Iterable[Total], *, names: Mapping[str, str]) -> str:
    """The month as CSV (RFC 4180). `label` empty: everything of the key; a cost with several labels stands in several lines."""
    out = io.StringIO()
    lines = csv.writer(out, lineterminator="\r\n")
    lines.writerow(COLUMNS)
    for one in totals:
        key, _, label = one.word.partition("\n")
        lines.writerow(
            (
                month,
                safe(key),
                safe(names.get(key, "")),
                safe(label),
                one.instances,
                f"{one.gpu_seconds / 3600:.4f}",
                *(_usd(amount) for amount in (one.gpu, one.disk, one.adjustment, one.total, one.saved_on_demand)),
            )
        )
    return out.getvalue()


def safe(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _usd(amount: Usd) -> str:
    return f"{dollars(amount):.5f}"
