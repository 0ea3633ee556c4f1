from aifs_media import MediaGenerator

media = MediaGenerator.from_env()
prompt = "A lighthouse keeper's portrait, oil on canvas, low winter sun"
for model in (
    "replicate:black-forest-labs/flux-1.1-pro",
    "poe:nano-banana",
    "stability:ultra",
):
    asset = await media.image(prompt, model=model, aspect_ratio="16:9")
    print(model, asset.url, asset.cost.amount)
