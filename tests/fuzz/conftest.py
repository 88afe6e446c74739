from hypothesis import settings

# For the longer run: pytest tests/fuzz --hypothesis-profile=long
settings.register_profile("long", settings.get_profile("patient"), max_examples=2_000)
