from aifs_media import MediaGenerator, Settings

from_file = MediaGenerator.from_env(env_file=".env")
from_mapping = MediaGenerator.from_env({"REPLICATE_API_KEY": "r8_...", "MEDIA_STORAGE": "memory"})
typed = MediaGenerator(settings=Settings(replicate_api_key="r8_...", media_video_timeout=600))
one_changed = MediaGenerator.from_env(media_image_timeout=90)
