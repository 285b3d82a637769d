"""A small table of everything that real files hold: texts, truth values, gaps, dates, identifiers."""

from __future__ import annotations

import numpy as np
import pandas as pd


def mixed_table(rows: int = 1_200, seed: int = 1) -> pd.DataFrame:
    """`bought` ("yes"/"no") and `spent` (a quantity) depend on age, job and member; some of each is missing."""
    random = np.random.default_rng(seed)
    age = random.normal(40, 10, rows).round(1)
    job = random.choice(["clerk", "smith", "farmer"], rows, p=[0.5, 0.3, 0.2]).astype(object)
    member = (random.random(rows) < 0.4).astype(object)
    visits = random.poisson(3, rows)
    logit = (age - 40) / 5 + 1.5 * (job == "smith") + member.astype(float) - 1
    bought = np.where(random.random(rows) < 1 / (1 + np.exp(-logit)), "yes", "no").astype(object)
    spent = np.exp(3 + logit / 4 + 0.2 * random.standard_normal(rows)).round(2)
    for column, share in ((age, 0.05), (job, 0.05), (member, 0.05), (bought, 0.02)):
        column[random.random(rows) < share] = np.nan if column is age else None
    return pd.DataFrame(
        {
            "age": age,
            "job": job,
            "member": member,
            "visits": visits,
            "bought": bought,
            "spent": spent,
            "day": pd.date_range("2026-01-01", periods=rows, freq="h").strftime("%Y-%m-%d"),
            "customer": [f"customer {number}" for number in range(rows)],
            "nothing": np.nan,
        }
    )
