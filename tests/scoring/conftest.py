from hypothesis import settings

# A shared machine's stalls are not failures; every test here is pure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
