"""The guide: its snippets run in order, and print what it says."""

import contextlib
import io
import re
from pathlib import Path
from unittest import mock

import cenote

from .node import NodeTest, unique

GUIDE = Path(__file__).parents[3] / "docs/guide/assets-from-python.md"


class Guide(NodeTest):
    def test_snippets_print_what_the_page_says(self) -> None:
        text = GUIDE.read_text().replace("shop", unique("shop"))
        snippets = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        names: dict[str, object] = {}
        with mock.patch.object(cenote, "connect", return_value=self.connect()):
            for snippet in snippets:
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    exec(compile(snippet, str(GUIDE), "exec"), names)
                self.assertEqual(printed.getvalue().splitlines(), re.findall(r"# → (.*)", snippet), snippet)
        self.assertGreater(len(snippets), 5)
