"""Files from a URL: what a response means, who fetches which bytes, when to try again. The words: docs/urls.md."""
