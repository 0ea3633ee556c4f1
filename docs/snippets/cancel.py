from aifs_media import MediaGenerator

media = MediaGenerator.from_env()
job = await media.start("image", "A lighthouse in a storm")
job = await media.cancel(job)
print(job.stage)  # "canceled", or "stored" if the result came first: then job.assets has it
