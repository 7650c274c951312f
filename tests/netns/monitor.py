"""What nft tells of changes in a namespace, heard whole: from before the first change to after the last."""

import subprocess
import threading

from deploy.lab import ns, wait

MARK = "heard-by-the-test"


class NftMonitor:
    """Lines of `nft monitor` from here to stop(); at the end of a with it is gone in any case."""

    def __init__(self, namespace):
        self.ns, self.lines = namespace, []
        self.p = subprocess.Popen([*ns.enter(namespace), "nft", "monitor"], stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        try:
            self._hears("begin")
        except BaseException:
            self._end()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._end()

    def _read(self):
        for line in self.p.stdout:
            self.lines.append(line.rstrip())

    def _hears(self, word):
        """A change of our own, made until one came through: all before it have."""
        def came():
            for verb in ("add", "delete"):
                ns.run(self.ns, "nft", verb, "table", "arp", f"{MARK}-{word}")
            return any(f"{MARK}-{word}" in line for line in self.lines)
        wait.until(f"nft monitor hears the {word}", came)

    def _end(self):
        self.p.kill()  # it does not end by a mere TERM
        self.p.wait()
        self.thread.join()
        self.p.stdout.close()

    def stop(self):
        """What was heard, our own marks left out."""
        self._hears("end")
        self._end()
        return [line for line in self.lines if MARK not in line]
