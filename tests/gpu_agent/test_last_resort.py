"""A told agent ends, even one whose own code never comes to its end."""

import signal
import subprocess
import sys
from pathlib import Path

WITHIN_S = 15
STUCK = """
import sys, time
from gpu_agent import __main__ as program

class Stuck:
    def __init__(self, *_, **__): pass
    def stop(self): pass
    async def run(self):
        print("ready", flush=True)
        while True:  # in the event loop itself, which hears nothing more
            time.sleep(60) if told else await program.asyncio.sleep(0.01)

told = []
Stuck.stop = lambda _: told.append(1)
program.Agent = Stuck
program.LAST_RESORT_S = 0.3
program._known_or_enrolled = lambda *_: type("Known", (), {"nats_urls": ("nats://x",)})
sys.argv = ["owl-agent", "run", "--state-dir", sys.argv[1], "--shutdown-s", "0"]
program.main()
"""


def test_an_agent_that_hangs_while_it_stops_is_ended_by_the_kernel(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", STUCK, str(tmp_path)], stdout=subprocess.PIPE
    ) as agent:
        try:
            assert agent.stdout is not None
            assert agent.stdout.readline() == b"ready\n"
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(WITHIN_S) == -signal.SIGALRM
        finally:
            agent.kill()
