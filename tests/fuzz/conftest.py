from hypothesis import settings

# For the longer run: pytest tests/fuzz --hypothesis-profile=long
settings.register_profile("long", max_examples=2_000)
