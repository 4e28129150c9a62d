"""HTTP of the API itself: takes a request, asks `contract.respond`, sends the Response."""

import gzip

from tornado.web import RequestHandler

from workflow.standin.contract import Response, UsersPerWindow, respond

GZIP_LEVEL = 1
GZIP_FROM = 1024  # bytes; the API sends shorter bodies as they are


class ApiHandler(RequestHandler):
    """Any request with any method; `contract.respond` decides what becomes of it."""

    def initialize(self, limit: UsersPerWindow) -> None:
        self.limit = limit

    def set_default_headers(self) -> None:
        self.clear_header("Content-Type")
        self.set_header("Server", "randomuser-standin")
        self.set_header("Access-Control-Allow-Origin", "*")
        self.set_header("Vary", "Accept-Encoding")

    async def handle(self, *_: str) -> None:
        await self.send(self.response(self.request.path))

    get = head = post = put = patch = delete = options = handle

    def response(self, path: str) -> Response:
        """The API's response to this request, were it for `path`."""
        request = self.request
        method, query, client = str(request.method), request.query, self.client()
        return respond(method, path, query, client=client, limit=self.limit)

    def client(self) -> str:
        """The address that the limit is counted for."""
        for header in ("CF-Connecting-IP", "X-Real-IP", "X-Forwarded-For"):
            if address := self.request.headers.get(header):
                return address
        return str(self.request.remote_ip)

    async def send(self, response: Response) -> None:
        """Send a Response: whole, or with gzip and then chunked, or 304 if the client knows it."""
        self.set_status(response.status)
        for name, value in response.headers.items():
            self.set_header(name, value)
        if self.check_etag_header():
            self.set_status(304)
            await self.finish()
            return
        accepted = self.request.headers.get("Accept-Encoding", "")
        if "gzip" not in accepted or len(response.body) < GZIP_FROM:
            await self.finish(response.body or None)
            return
        self.set_header("Content-Encoding", "gzip")
        self.write(gzip.compress(response.body, GZIP_LEVEL, mtime=0))
        await self.flush()  # without Content-Length, so chunked
        await self.finish()
