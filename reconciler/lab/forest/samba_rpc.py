"""What the Samba half of a bridge does by RPC: LSA to make a trust, DRSUAPI to read an account's secrets.

Imported by samba_side.py in the system's Python; imports nothing of ours.
"""

from __future__ import annotations

import time
from typing import Any

import samba
from samba import credentials
from samba.dcerpc import drsblobs, drsuapi, lsa, misc, security
from samba.drs_utils import drs_DsBind
from samba.net import Net
from samba.trust_utils import CreateTrustedDomainRelax

FOREST_TRANSITIVE = 0x8
AES = 0x18
NOBODY = "9c637462-5b8c-4467-aef2-bdb1f57bc4ef"  # the GUID of a replication partner that does not exist


def create_trust(
    lp: Any, partner: dict[str, str], direction: int, attributes: int, secrets: tuple[bytes, bytes]
) -> None:
    """Create one side of a trust by LSA, as the system; the controller has to run.

    Args:
        partner: dns, netbios and sid of the other domain.
        secrets: The incoming and the outgoing password.
    """
    server = lsa.lsarpc(f"ncalrpc:{lp.get('netbios name')}[,auth_type=ncalrpc_as_system]", lp, None)
    context = lsa.ObjectAttribute()
    context.sec_qos = lsa.QosInfo()
    wanted = lsa.LSA_POLICY_VIEW_LOCAL_INFORMATION | lsa.LSA_POLICY_TRUST_ADMIN | lsa.LSA_POLICY_CREATE_SECRET
    policy = server.OpenPolicy2("", context, wanted)
    name = lsa.String()
    name.string = partner["dns"]
    types = lsa.TrustDomainInfoSupportedEncTypes()
    types.enc_types = AES
    information = _trust_information(partner, direction, attributes)
    incoming, outgoing = (_trust_secret(secret) for secret in secrets)
    try:
        CreateTrustedDomainRelax(server, policy, information, security.SEC_FLAG_MAXIMUM_ALLOWED, incoming, outgoing)
        server.SetTrustedDomainInfoByName(policy, name, lsa.LSA_TRUSTED_DOMAIN_SUPPORTED_ENCRYPTION_TYPES, types)
        if attributes & FOREST_TRANSITIVE:
            forest = _forest_information(partner)
            server.lsaRSetForestTrustInformation(policy, name, lsa.LSA_FOREST_TRUST_DOMAIN_INFO, forest, 0)
    finally:
        server.Close(policy)


class Replica:
    """A session with a controller, for reading secrets by replication with somebody's rights.

    Args:
        account: username, domain, realm and password of whoever asks; NTLM in his own domain, else Kerberos.
    """

    def __init__(self, lp: Any, address: str, controller: str, account: dict[str, str]) -> None:
        who = credentials.Credentials()
        who.guess(lp)
        who.set_username(account["username"])
        who.set_domain(account["domain"])
        who.set_password(account["password"])
        if controller.lower().endswith("." + account["realm"].lower()):
            who.set_kerberos_state(credentials.DONT_USE_KERBEROS)
            binding = f"ncacn_ip_tcp:{address}[seal]"
        else:
            who.set_realm(account["realm"].upper())
            who.set_kerberos_state(credentials.MUST_USE_KERBEROS)
            binding = f"ncacn_ip_tcp:{address}[seal,krb5,target_hostname={controller}]"
        self._server = drsuapi.drsuapi(binding, lp, who)
        self._handle, _ = drs_DsBind(self._server)
        self._net = Net(who, lp)

    def secrets(self, dn: str) -> tuple[bytes, bytes | None] | None:
        """Read (NT hash, supplementalCredentials) of one account, None where there is no hash."""
        _, answer = self._server.DsGetNCChanges(self._handle, 8, _replicate_one(dn))
        if answer.first_object is None or answer.object_count == 0:
            return None
        return _secrets(self._net, self._server, answer.first_object.object)


def _trust_information(partner: dict[str, str], direction: int, attributes: int) -> Any:
    result = lsa.TrustDomainInfoInfoEx()
    result.domain_name.string = partner["dns"]
    result.netbios_name.string = partner["netbios"]
    result.sid = security.dom_sid(partner["sid"])
    result.trust_type = lsa.LSA_TRUST_TYPE_UPLEVEL
    result.trust_direction = direction
    result.trust_attributes = attributes
    return result


def _trust_secret(secret: bytes) -> Any:
    clear = drsblobs.AuthInfoClear()
    clear.size = len(secret)
    clear.password = list(secret)
    information = drsblobs.AuthenticationInformation()
    information.LastUpdateTime = samba.unix2nttime(int(time.time()))
    information.AuthType = lsa.TRUST_AUTH_TYPE_CLEAR
    information.AuthInfo = clear
    array = drsblobs.AuthenticationInformationArray()
    array.count = 1
    array.array = [information]
    result = drsblobs.trustAuthInOutBlob()
    result.count = 1
    result.current = array
    return result


def _forest_information(partner: dict[str, str]) -> Any:
    domain = lsa.ForestTrustDomainInfo()
    domain.domain_sid = security.dom_sid(partner["sid"])
    domain.dns_domain_name.string = partner["dns"]
    domain.netbios_domain_name.string = partner["netbios"]
    domain_record = lsa.ForestTrustRecord()
    domain_record.type = lsa.LSA_FOREST_TRUST_DOMAIN_INFO
    domain_record.forest_trust_data = domain
    name = lsa.StringLarge()
    name.string = partner["dns"]
    name_record = lsa.ForestTrustRecord()
    name_record.type = lsa.LSA_FOREST_TRUST_TOP_LEVEL_NAME
    name_record.forest_trust_data = name
    result = lsa.ForestTrustInformation()
    result.count = 2
    result.entries = [name_record, domain_record]
    return result


def _replicate_one(dn: str) -> Any:
    context = drsuapi.DsReplicaObjectIdentifier()
    context.dn = dn
    request = drsuapi.DsGetNCChangesRequest8()
    request.destination_dsa_guid = misc.GUID(NOBODY)
    request.source_dsa_invocation_id = misc.GUID()
    request.naming_context = context
    request.highwatermark = drsuapi.DsReplicaHighWaterMark()
    request.uptodateness_vector = None
    request.replica_flags = drsuapi.DRSUAPI_DRS_INIT_SYNC | drsuapi.DRSUAPI_DRS_WRIT_REP
    request.max_object_count = 1
    request.max_ndr_size = 0
    request.extended_op = drsuapi.DRSUAPI_EXOP_REPL_OBJ
    request.fsmo_info = 0
    request.partial_attribute_set = None
    request.partial_attribute_set_ex = None
    request.mapping_ctr.num_mappings = 0
    request.mapping_ctr.mappings = None
    return request


def _secrets(net: Any, server: Any, account: Any) -> tuple[bytes, bytes | None] | None:
    rid = int(str(account.identifier.sid).rsplit("-", 1)[1])
    wanted = (drsuapi.DRSUAPI_ATTID_unicodePwd, drsuapi.DRSUAPI_ATTID_supplementalCredentials)
    found: dict[int, bytes] = {}
    for attribute in account.attribute_ctr.attributes:
        if attribute.attid in wanted and attribute.value_ctr.num_values:
            net.replicate_decrypt(server, attribute, rid)
            found[attribute.attid] = bytes(attribute.value_ctr.values[0].blob)
    return (found[wanted[0]], found.get(wanted[1])) if wanted[0] in found else None
