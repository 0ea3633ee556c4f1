from aifs_media import MediaGenerator

async with MediaGenerator.from_env(media_ledger="sqlite:///media.db") as media:
    report = await media.recover()  # at start-up: finish what a crash left behind
    print(len(report.assets), "stored,", len(report.failed), "not,", len(report.held), "in other hands")
    asset = await media.image("A lighthouse in a storm", job_id="order-1042", tags={"tenant": "acme"})
    print([job.job_id for job in await media.jobs(tags={"tenant": "acme"})])
