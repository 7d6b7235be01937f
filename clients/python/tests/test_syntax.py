"""The oldest Python that is promised."""

import ast
import re
import unittest
from pathlib import Path

ROOT = Path(__file__).parent.parent


class Syntax(unittest.TestCase):
    def test_sources_are_in_the_syntax_of_the_oldest_python(self) -> None:
        project = (ROOT / "pyproject.toml").read_text()
        major, minor = map(int, re.search(r'requires-python = ">=(\d+)\.(\d+)"', project).groups())
        sources = sorted((ROOT / "src").rglob("*.py"))
        self.assertIn("client.py", [source.name for source in sources])
        for source in sources:
            with self.subTest(source=source.name):
                parsed = ast.parse(source.read_text(), feature_version=(major, minor))
                if any(isinstance(node, (ast.FunctionDef, ast.ClassDef)) for node in parsed.body):
                    self.assertIn("from __future__ import annotations", source.read_text())
        with self.assertRaises(SyntaxError):
            ast.parse("match 1:\n    case 1:\n        pass\n", feature_version=(major, minor))
