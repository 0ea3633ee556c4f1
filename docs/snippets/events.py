from aifs_media import MediaGenerator
from aifs_media.events import Event


def show(event: Event) -> None:
    print(event.seq, event.event, event.job_id)


asset = await MediaGenerator.from_env(on_event=show).image("A lighthouse in a storm")
