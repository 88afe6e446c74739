"""The examples of ``docs/guides/frameworks.md``, on two servers."""
