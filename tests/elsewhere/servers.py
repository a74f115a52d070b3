"""Web servers with pools in them: each is started, asked, and stopped, and leaves no process."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from pages import programs

DJANGO = """
import sys

import procession
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path

if not settings.configured:
    settings.configure(DEBUG=True, ROOT_URLCONF=__name__, SECRET_KEY="of a test", ALLOWED_HOSTS=["*"])


def square(number):
    return number * number


def answer(request, number):
    with procession.shared_pool() as pool:
        return HttpResponse(str(pool.apply(square, (number,))))


urlpatterns = [path("square/<int:number>", answer)]

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""
SERVERS = [
    "uvicorn asgi:app --port {port}",
    "uvicorn asgi:app --port {port} --workers 2",
    "uvicorn asgi:app --port {port} --reload",
    "gunicorn wsgi:app -b 127.0.0.1:{port} -w 2",
    "gunicorn wsgi:app -b 127.0.0.1:{port} -w 2 --preload",
    "gunicorn wsgi:app -b 127.0.0.1:{port} -w 2 --preload --threads 4",
    "flask --app wsgi run --port {port}",
    "flask --app wsgi run --port {port} --debug",
    "python manage.py runserver 127.0.0.1:{port}",
    "python manage.py runserver 127.0.0.1:{port} --noreload",
]
QUESTIONS = 6
LIMIT_S = 60
TOOLS = Path(sys.executable).parent


def free_port():
    """Return a port that nobody uses now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def session(leader):
    """Return the processes of a session that live."""
    table = subprocess.run(["ps", "-e", "-o", "pid=,sid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [row.split() for row in table.splitlines()]
    return [int(pid) for pid, leader_of, state in rows if int(leader_of) == leader and not state.startswith("Z")]


def ask(server, port):
    """Ask until the server has answered often enough."""
    answers, end = [], time.monotonic() + LIMIT_S
    while len(answers) < QUESTIONS and time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/square/7", timeout=LIMIT_S) as response:
                answers.append(response.read())
        except OSError:
            time.sleep(0.1)
    return answers


def check(command, number, directory):
    """Start a server, ask it, and stop it by a signal."""
    port = free_port()
    name, *arguments = command.format(port=port).split()
    with open(Path(directory, "log"), "w+") as log:
        server = subprocess.Popen(
            [TOOLS / name, *arguments], cwd=directory, stdout=log, stderr=log, start_new_session=True
        )
        try:
            answers = ask(server, port)
            server.send_signal(number)
            server.wait(LIMIT_S)
            end = time.monotonic() + 5
            while (left := session(server.pid)) and time.monotonic() < end:
                time.sleep(0.05)
        finally:
            for pid in session(server.pid):
                os.kill(pid, signal.SIGKILL)
        log.seek(0)
        text = log.read()
    assert answers == [b"49"] * QUESTIONS and not left and "Traceback" not in text, (
        command,
        number,
        answers,
        left,
        text,
    )


def main():
    with tempfile.TemporaryDirectory() as directory:
        asgi, wsgi = (source for source, _ in programs("web-servers.md"))
        for name, source in (("asgi.py", asgi), ("wsgi.py", wsgi), ("manage.py", DJANGO)):
            Path(directory, name).write_text(source)
        for command in SERVERS:
            for number in (signal.SIGTERM, signal.SIGINT):
                check(command, number, directory)
            print("servers:", command.format(port="PORT"))


if __name__ == "__main__":
    main()
