from aifs_media import Job, MediaGenerator

media = MediaGenerator.from_env()
job = await media.start("image", "A lighthouse in a storm", job_id="order-1042")
kept = job.model_dump_json()  # in your queue or database

# Later, also in another process:
assets = await MediaGenerator.from_env().wait(Job.model_validate_json(kept))
print(assets[0].url)
