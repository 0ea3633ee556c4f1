from aifs_media import MediaGenerator

report = await MediaGenerator.from_env().check()
for check in report.checks:
    print("ok " if check.ok else "BAD", check.name, check.message, check.hint)
