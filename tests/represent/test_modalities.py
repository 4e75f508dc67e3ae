"""Pictures drawn, sounds synthesised and films made here, read by small encoders made from a configuration."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from whyrec.errors import BadInput
from whyrec.represent import modalities as module
from whyrec.represent.modalities import FileEncoder, encoder_of, film, picture, pixels, sound

soundfile = pytest.importorskip("soundfile")


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    from transformers import (
        ASTConfig,
        ASTModel,
        CLIPConfig,
        CLIPModel,
        CLIPTextConfig,
        CLIPVisionConfig,
        CLIPVisionModel,
        ViTConfig,
        ViTModel,
        Wav2Vec2Config,
        Wav2Vec2Model,
    )  # fmt: skip

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    vision = small | {"image_size": 32, "patch_size": 8}
    made = {
        "clip vision": CLIPVisionModel(CLIPVisionConfig(**vision)),
        "clip": CLIPModel(
            CLIPConfig(text_config=CLIPTextConfig(**small, vocab_size=20).to_dict(), vision_config=CLIPVisionConfig(**vision).to_dict(), projection_dim=12)
        ),
        "vit": ViTModel(ViTConfig(**vision)),
        "wav2vec": Wav2Vec2Model(
            Wav2Vec2Config(**small, conv_dim=[8] * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, feat_extract_norm="group")
        ),
        "ast": ASTModel(ASTConfig(**small, max_length=64, num_mel_bins=16, frequency_stride=8, time_stride=8, patch_size=8)),
    }  # fmt: skip
    root = tmp_path_factory.mktemp("models")
    for name, model in made.items():
        model.save_pretrained(root / name)
    return {name: str(root / name) for name in made}


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, colour in (("red", "red"), ("blue", "blue")):
        image = Image.new("RGB", (60, 40), "white")
        ImageDraw.Draw(image).ellipse((10, 5, 50, 35), fill=colour)
        image.save(folder / f"{name}.png")
    return {path.stem: path for path in folder.iterdir()}


def tone(path: Path, hertz: float, rate: int = 8000, channels: int = 2, seconds: float = 0.5) -> Path:
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)
    soundfile.write(path, np.column_stack([wave] * channels), rate)
    return path


@pytest.mark.parametrize(("name", "width"), [("clip vision", 16), ("clip", 12), ("vit", 16)])
def test_pictures(name: str, width: int, models: dict[str, str], pictures: dict[str, Path], tmp_path: Path) -> None:
    encoder = FileEncoder("image", models[name], cache=str(tmp_path / "cache"))
    states = encoder.encode([pictures["red"], None, str(pictures["blue"]), "", pictures["red"]])
    assert states.shape == (5, width)
    assert np.linalg.norm(states, axis=1).tolist() == pytest.approx([1, 0, 1, 0, 1], abs=1e-5)
    np.testing.assert_array_equal(states[0], states[4])
    assert np.abs(states[0] - states[2]).max() > 1e-4
    assert encoder.encode([]).shape == (0, width)
    assert encoder.encode([None]).tolist() == [[0] * width]


def test_the_state_is_the_models_own(models: dict[str, str], pictures: dict[str, Path], tmp_path: Path) -> None:
    from transformers import CLIPModel

    given = torch.from_numpy(pixels([picture(pictures["red"])], 32, module._MEAN, module._DEVIATION))
    model = CLIPModel.from_pretrained(models["clip"]).eval()
    with torch.inference_mode():
        found = model.get_image_features(pixel_values=given)
        expected = getattr(found, "pooler_output", found)[0].numpy()
    states = FileEncoder("image", models["clip"], cache=str(tmp_path)).encode([pictures["red"]])
    np.testing.assert_allclose(states[0], expected / np.linalg.norm(expected), atol=1e-5)


def test_pixels_by_hand() -> None:
    image = Image.new("RGB", (64, 32), (255, 0, 51))
    image.paste((0, 255, 0), (0, 0, 16, 32))  # the left quarter lies outside the centre square
    values = pixels([image], 32, (0.5, 0.5, 0.2), (0.5, 0.25, 1))
    assert values.shape == (1, 3, 32, 32)
    assert values[0, :, 16, 16].tolist() == pytest.approx([1, -2, 0])
    assert values[0, 0].min() == pytest.approx(1)


def test_each_file_is_encoded_once(
    models: dict[str, str], pictures: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = FileEncoder("image", models["vit"], cache=str(tmp_path / "cache"))
    copy = tmp_path / "copy.png"
    copy.write_bytes(pictures["red"].read_bytes())
    first = encoder.encode([pictures["red"], copy])
    np.testing.assert_array_equal(first[0], first[1])
    monkeypatch.setattr(module._Network, "pictures", lambda *_: pytest.fail("encoded twice"))
    np.testing.assert_array_equal(encoder.encode([copy]), first[:1])


@pytest.mark.parametrize("name", ["wav2vec", "ast"])
def test_sounds(name: str, models: dict[str, str], tmp_path: Path) -> None:
    if name == "ast":
        from transformers import ASTFeatureExtractor

        try:
            ASTFeatureExtractor(num_mel_bins=16, max_length=64).save_pretrained(models[name])
        except ImportError as error:
            pytest.skip(f"the extractor of AST does not run here: {error}")
    low, high = tone(tmp_path / "low.wav", 200), tone(tmp_path / "high.flac", 3000, rate=16000, channels=1)
    states = FileEncoder("audio", models[name], cache=str(tmp_path / "cache")).encode([low, None, high])
    assert states.shape == (3, 16)
    assert np.linalg.norm(states, axis=1).tolist() == pytest.approx([1, 0, 1], abs=1e-5)
    assert np.abs(states[0] - states[2]).max() > 1e-4


def test_sounds_are_brought_to_one_rate_and_channel(tmp_path: Path) -> None:
    wave = sound(tone(tmp_path / "tone.wav", 440, rate=44100, seconds=1))
    assert len(wave) == 16000
    spectrum = np.abs(np.fft.rfft(wave))
    assert np.argmax(spectrum) == 440
    assert len(sound(tone(tmp_path / "long.wav", 100, rate=4000, seconds=40))) == 30 * 16000


def test_films(models: dict[str, str], pictures: dict[str, Path], tmp_path: Path) -> None:
    frames = [Image.new("RGB", (32, 32), (25 * n, 0, 0)) for n in range(10)]
    animation = tmp_path / "film.gif"
    frames[0].save(animation, save_all=True, append_images=frames[1:], duration=50)
    chosen = film(animation, 4)
    assert [image.getpixel((3, 3))[0] for image in chosen] == [0, 75, 150, 225]
    encoder = FileEncoder("video", models["vit"], cache=str(tmp_path / "cache"), frames=4)
    states = encoder.encode([animation, pictures["red"].parent, None])
    assert np.linalg.norm(states, axis=1).tolist() == pytest.approx([1, 0 + 1, 0], abs=1e-5)
    still = FileEncoder("image", models["vit"], cache=str(tmp_path / "cache")).encode(
        [pictures["blue"], pictures["red"]]
    )
    mean = still.mean(axis=0)
    np.testing.assert_allclose(states[1], mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.parametrize(("kind", "model"), [("image", "vit"), ("audio", "wav2vec"), ("video", "vit")])
def test_a_broken_file_is_named_with_its_row(kind: str, model: str, models: dict[str, str], tmp_path: Path) -> None:
    encoder = encoder_of(kind, models[model], str(tmp_path / "cache"))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n not a picture, nor a sound")
    with pytest.raises(BadInput, match=r"row 2: .*broken.png: cannot be read as a (picture|sound|film)"):
        encoder.encode([None, broken])
    with pytest.raises(BadInput, match=r"row 1: .*gone.png: no such"):
        encoder.encode([tmp_path / "gone.png"])


def test_cut_and_transparent_pictures(pictures: dict[str, Path], models: dict[str, str], tmp_path: Path) -> None:
    cut = tmp_path / "cut.png"
    cut.write_bytes(pictures["red"].read_bytes()[:-60])
    with pytest.raises(BadInput, match=r"row 1: .*cut.png"):
        FileEncoder("image", models["vit"], cache=str(tmp_path / "cache")).encode([cut])
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert picture(tmp_path / "clear.png").getpixel((1, 1)) == (255, 255, 255)


def test_wrong_kinds_and_models(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="'smell' is none of"):
        encoder_of("smell", "x")
    with pytest.raises(BadInput, match=r"image model .* cannot be loaded"):
        FileEncoder("image", str(tmp_path), cache=str(tmp_path)).encode([None])


def test_an_item_known_by_its_picture_alone(models: dict[str, str], tmp_path: Path, monkeypatch) -> None:
    """Two towers over text and pictures: red things for some, blue ones for others, half of the pictures missing."""
    import polars as pl

    from whyrec.data.dataset import Dataset
    from whyrec.data.schema import Schema
    from whyrec.recommenders.two_tower import TwoTowerRecommender

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    paths = []
    for n in range(24):
        path = tmp_path / f"{n}.png"
        Image.new("RGB", (32, 32), ((200 + n, 20, 20), (20, 20, 200 + n))[n % 2]).save(path)
        paths.append(str(path) if n % 4 < 2 else None)
    items = pl.DataFrame(
        {
            "item": range(24),
            "picture": paths,
            "text": [None if p else ("red", "blue")[n % 2] for n, p in enumerate(paths)],
        }
    )
    who, what = np.nonzero(
        np.equal.outer(np.arange(40) % 2, np.arange(24) % 2) & (np.random.default_rng(0).random((40, 24)) < 0.6)
    )
    kept = what < 20
    log = pl.DataFrame({"user": who[kept], "item": what[kept]})
    data = Dataset.build(log, Schema(item_text=("text",)), items=items, users=pl.DataFrame({"user": range(40)}))
    model = TwoTowerRecommender(
        modalities=[("image", "picture", models["vit"])], item_attributes=[], width=8, epochs=40, batch_size=64, learning_rate=0.02, dropout=0.1
    ).fit(data)  # fmt: skip
    lists, _ = model.recommend(np.arange(40), 1, candidates=np.array([20, 21]))
    assert np.mean(lists[:, 0] % 2 == np.arange(40) % 2) > 0.9
