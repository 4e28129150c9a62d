"""Ports that somebody else holds."""

import socket

import psutil

from workflow.errors import StackError
from workflow.stack.service import Service


def refuse_busy_ports(service: Service) -> None:
    """Raise StackError, naming the holder and the setting, if a port of a service is taken."""
    for port, setting in service.ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT is no holder
            try:
                probe.bind((service.address, port))
            except OSError as exc:
                raise StackError(
                    f"{service.name} cannot have port {port} of {service.address}: {_holder(port)} "
                    f"has it ({exc.strerror}); stop that process, or set {setting} in luigi.cfg to "
                    "a free port."
                ) from exc


def _holder(port: int) -> str:
    """Who listens on a port, as far as this user may know."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and bool(
                connection.laddr and connection.laddr.port == port
            )
            if listens and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another process"
