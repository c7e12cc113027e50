"""CVRL (arXiv:2008.03800) on a folder of videos of your own; labels are not needed.

jaxssl train configs/video/cvrl_video_folder.py --data FOLDER --workdir runs/my_videos

FOLDER holds mp4, webm, avi, mkv or mov files, nested as you like; `pip install av` reads them. Sub-folders, if there are any,
are taken as labels, for the probes only. Videos are cut into pieces of `data.frames` frames; a training example is two clips
of one piece. Pieces are kept in memory; where they do not fit, `--config.data.mode=stream --config.data.memory_gb=None` reads
each from its file when its turn comes (without `recall at 1`). Files that cannot be read are left out and named in the log.

What to set, as --config.NAME=VALUE:
  total_steps               at least 50 passes over the pieces
  batch_size                at most the number of pieces; 64 and more
  data.frame_step           with 2, every second frame is kept: 12.5 a second of a file with 25
  data.frames               kept frames of a piece; a piece should be one scene, 2 to 10 s
  data.size                 pixels; augment.size and preprocess.size are what the network sees
  augment.frames, augment.stride, preprocess.frames, preprocess.stride   of a clip, in kept frames; frames * stride is to be
                            clearly less than data.frames, or both clips are the same
  augment.flip_probability  0 where left and right are to be told apart
  encoder.name              models.video.resnet is the published network, for a GPU

`:quick` trains a tiny network in seconds, to see that the files are read. Then, to use what was learnt:
`jaxssl embed runs/my_videos --out features.npz`. In the table `recall at 1` says how often a piece finds, among the pieces of
all videos, the one that follows it. There is no number to compare with; configs/video/cvrl_moving_items.py is measured.
"""

from jaxssl.recipes.video import quick_videos, videos


def get_config(arg=None):
    config = videos()
    config.total_steps, config.batch_size = 2000, 64
    config.data = dict(
        name="data.readers.video_folder",
        mode="resident",
        path="",
        frames=32,
        size=64,
        frame_step=2,
        channels=3,
        test_fraction=0.2,
    )
    frames = dict(size=48, mean=(0.45, 0.45, 0.45), std=(0.225, 0.225, 0.225))
    config.augment.update(frames)
    config.preprocess.update(frames)
    config.encoder.update(widths=(24, 48, 96, 128), strides=(2, 2, 2, 2))
    config.method = dict(name="methods.cvrl", hidden_dims=(256,), dim=64, temperature=0.1)
    config.optim.update(learning_rate=1e-3, warmup_steps=100, weight_decay=1e-4)
    config.evaluate.evaluators.knn.k = 5
    config.evaluate.evaluators.few_labels.per_class = (1, 5)
    config.evaluate.evaluators.retrieval = dict(name="evaluators.retrieval", pairs="neighbours")
    config.evaluate.headline = "few_labels/5_mean"
    if arg == "quick":
        quick_videos(config, batch_size=16)
        config.data.update(frames=12, size=24)
        config.method.update(hidden_dims=(32,), dim=16)
    return config
