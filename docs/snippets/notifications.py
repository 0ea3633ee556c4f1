from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aifs_media import WebhookRefusedError
from aifs_media.notification import read_notification


async def ended(request: Request) -> Response:
    try:
        job = read_notification(request.headers, await request.body(), secret="whsec_...")
    except WebhookRefusedError:
        return Response(status_code=401)
    print(job.job_id, job.stage, [asset.url for asset in job.assets])
    return Response(status_code=204)


app = Starlette(routes=[Route("/media-ended", ended, methods=["POST"])])
