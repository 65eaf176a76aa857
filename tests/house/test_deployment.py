"""compose.yaml is what an operator trusts unread: hardened, closed, and made of our own parts.

No Docker is needed: the file is read as data, and the broker's cluster is started for real.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import asdict

from api.settings import load
from tests.house.tree import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EACH_SERVICE = pytest.mark.parametrize("name", SERVICES)
ENGINES = {"postgres", "nats-1", "nats-2", "nats-3"}
PLATFORM = ("api", "work")
NODES = (1, 2, 3)


def test_it_is_two_api_processes_two_workers_an_agent_and_the_engines() -> None:
    assert set(SERVICES) == ENGINES | {"api", "work", "agent"}
    replicas = {name: SERVICES[name].get("deploy", {}).get("replicas", 1) for name in SERVICES}
    assert (replicas["api"], replicas["work"], replicas["agent"]) == (2, 2, 1)


@EACH_SERVICE
def test_a_service_can_gain_nothing_and_write_nowhere_but_its_volumes(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert service["user"].partition(":")[0] not in {"", "0", "root"}
    assert service["init"] is True


@EACH_SERVICE
def test_a_service_has_a_bound_on_memory_processes_and_logs(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert 0 < service["pids_limit"] <= 1024
    assert {"max-size", "max-file"} <= set(service["logging"]["options"])
    assert all("size=" in mount for mount in service["tmpfs"])


@EACH_SERVICE
def test_only_the_api_is_published_and_only_on_loopback(name: str) -> None:
    ports = SERVICES[name].get("ports", [])
    assert bool(ports) == (name == "api")
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert "network_mode" not in SERVICES[name]


@EACH_SERVICE
def test_the_engines_reach_no_network_but_the_inner_one(name: str) -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    if name in ENGINES:
        assert SERVICES[name]["networks"] == ["inside"]


@EACH_SERVICE
def test_no_secret_stands_in_an_environment(name: str) -> None:
    for variable, value in SERVICES[name].get("environment", {}).items():
        secretive = any(word in variable for word in ("PASSWORD", "SECRET", "TOKEN", "KEY"))
        assert not secretive or str(value).startswith("/run/"), variable
        assert "@" not in str(value)


@EACH_SERVICE
def test_what_a_service_names_is_declared(name: str) -> None:
    service = SERVICES[name]
    assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
    assert set(service["networks"]) <= set(COMPOSE["networks"])
    assert set(service.get("depends_on", {})) <= set(SERVICES)
    for volume in service.get("volumes", []):
        source = volume.partition(":")[0]
        assert source in COMPOSE["volumes"] or volume.endswith(":ro"), volume


@EACH_SERVICE
def test_an_image_is_built_here_or_named_with_a_version(name: str) -> None:
    service = SERVICES[name]
    if "build" in service:
        assert (ROOT / service["build"]["dockerfile"]).exists()
    tag = service["image"].removesuffix("}").rpartition(":")[2]
    assert tag != "latest"
    assert any(sign.isdigit() for sign in tag)


def test_what_others_wait_for_has_a_health_check() -> None:
    awaited = {
        other for service in SERVICES.values() for other in service.get("depends_on", {})
    }
    assert awaited == ENGINES | {"api"}
    assert all("healthcheck" in SERVICES[name] for name in awaited)


@pytest.mark.parametrize("name", PLATFORM)
def test_every_setting_that_the_platform_is_given_reaches_it(name: str) -> None:
    given = SERVICES[name]["environment"]
    settings = load(given)
    reached = {f"OWL_{field.upper()}": value for field, value in asdict(settings).items()}
    assert {variable: str(reached[variable]) for variable in given} == given
    assert settings.profile == "production"


def test_the_proxy_of_the_host_is_believed_and_nobody_in_the_networks() -> None:
    assert "OWL_TRUSTED_PROXIES" not in SERVICES["work"]["environment"]
    (trusted,) = load(SERVICES["api"]["environment"]).proxies
    (subnet,) = COMPOSE["networks"]["front"]["ipam"]["config"]
    assert trusted == subnet["gateway"]
    assert [name for name in SERVICES if "front" in SERVICES[name]["networks"]] == ["api"]


def test_data_is_checksummed_and_passwords_are_never_sent_in_clear() -> None:
    initdb = SERVICES["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]
    assert "--data-checksums" in initdb
    assert "--auth-host=scram-sha-256" in initdb
    assert 'sync_interval: "always"' in (ROOT / "deploy/nats.conf").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def deployed_secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deployment") / "secrets"
    command = [sys.executable, str(ROOT / "deploy/make_secrets.py"), str(folder)]
    for _ in range(2):  # a second run keeps everything
        subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    return folder


def test_every_secret_that_is_mounted_is_made(deployed_secrets: Path) -> None:
    made = {path.name for path in deployed_secrets.iterdir()}
    wanted = {Path(secret["file"]).name for secret in COMPOSE["secrets"].values()}
    # a server's enrolment token is the platform's to give
    assert wanted - {"agent_enrolment_token"} <= made
    assert deployed_secrets.stat().st_mode & 0o777 == 0o700
