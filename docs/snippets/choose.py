from aifs_media import MediaGenerator

for provider, model in MediaGenerator.from_env().models("video", duration=8, aspect_ratio="9:16"):
    print(f"{provider}:{model.model}", model.price, model.typical_seconds)
