"""How dangerous each weakening of the article is while it is live, 0 to 100.

A judgement: only the order of the numbers and their rough proportions count. What one stolen logon or a few packets turn
into a whole domain stands on top.
"""

from __future__ import annotations

WEIGHTS: dict[str, int] = {
    "password export": 100,  # every password hash of the source can leave, through whoever holds the key
    "export service": 90,  # what answers those calls; with the setting off it refuses, so it is a little less
    "source administrator": 80,  # who takes over the operator's logon has the source domain
    "lsa protection": 70,  # secrets of every logon can be read from memory, but only by an administrator of a controller
    "sid history": 60,  # any SID of the source, its administrators too, can be written to an account of the target
    "host administrator": 50,  # the ADMT host holds the key, and may be a controller of the target
    "sid filtering": 50,  # an administrator of the other domain can claim any SID of this one; that takes one first
    "anonymous": 30,  # names of accounts for guessing passwords, without a logon
    "users of a container": 20,  # passwords of the migrated accounts can be set, nobody else's
    "everyone": 10,  # who has a logon reads the directory anyway; this adds guests
    "sam over tcp": 1,  # Microsoft says that it does not diminish the security of the system
}
