"""The examples of ``docs/frameworks.md``, on two servers."""
