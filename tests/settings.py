"""The program's settings on the servers of this test run. Loading them starts those servers."""

from tests.support.servers import serve

serve()  # names the servers in the environment, which the next line reads

from dashboard.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
