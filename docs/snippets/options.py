from aifs_media import MediaGenerator, UnsupportedOptionError

media = MediaGenerator.from_env()
asset = await media.image(
    "A red fox in the snow",
    model="replicate:black-forest-labs/flux-schnell",
    aspect_ratio="3:2",
    seed=7,
    output_format="png",
    options={"num_inference_steps": 4},  # the model's own options, by its own names
    tags={"tenant": "acme", "campaign": "winter"},
)
try:
    await media.image("A red fox", model="replicate:black-forest-labs/flux-schnell", options={"num_inference_step": 4})
except UnsupportedOptionError as error:
    print(error)  # nothing was sent, nothing was paid
