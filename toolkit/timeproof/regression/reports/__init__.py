"""One report in many forms: HTML, JUnit XML, Markdown."""
