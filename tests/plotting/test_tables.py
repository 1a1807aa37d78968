"""Tables: the values that were given, escaped, and fit for a report."""

import pandas as pd
from bs4 import BeautifulSoup

from redraw import plotting


def test_a_table_holds_the_values_and_nothing_acts():
    frame = pd.DataFrame({"<b>name": ["a<script>", "b"], "loss": [0.123456, float("nan")], "runs": [12345, 7]})
    page = BeautifulSoup(plotting.table(frame, "What <i>ran").data, "html.parser")
    assert [cell.text for cell in page("th")] == ["<b>name", "loss", "runs"] and all(c["scope"] for c in page("th"))
    assert [cell.text for cell in page("td")] == ["a<script>", "0.123", "12,345", "b", "–", "7"]
    assert page.caption.text == "What <i>ran" and not page(["script", "i", "b"])
    assert plotting.table(frame.assign(loss=[123456.7, True])).data.count("123,457") == 1
