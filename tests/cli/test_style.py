import os
import pty

from asapfn.cli.style import painter


def test_a_terminal_gets_colour_unless_no_color_is_set():
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        assert painter(stream, {})("red", "no") == "\x1b[31mno\x1b[0m"
        assert painter(stream, {"NO_COLOR": ""})("red", "no") == "\x1b[31mno\x1b[0m"
        assert painter(stream, {"NO_COLOR": "1"})("red", "no") == "no"
    os.close(controller)
    with open(os.devnull, "w") as stream:
        assert painter(stream, {})("red", "no") == "no"
