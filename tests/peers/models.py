"""The shapes in PyTorch: `transformers` and PEFT for images, a plain module for clips."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

CLASSES = 10
WIDTH, HEADS, MLP, PATCH = 384, 6, 1536, 16
EPSILON = 1e-6


def image_model(lora: bool) -> nn.Module:
    """`transformers`' ViT with its default attention (sdpa); with PEFT's LoRA on query and value, or all trained."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=WIDTH,
        num_hidden_layers=6,
        num_attention_heads=HEADS,
        intermediate_size=MLP,
        image_size=224,
        patch_size=PATCH,
        layer_norm_eps=EPSILON,
        num_labels=CLASSES,
    )
    model = ViTForImageClassification(config)
    if lora:
        from peft import LoraConfig, get_peft_model

        # Names of the two projections differ between versions of `transformers`.
        leaves = {name.rsplit(".", 1)[-1] for name, _ in model.named_modules()}
        targets = ["query", "value"] if "query" in leaves else ["q_proj", "v_proj"]
        settings = LoraConfig(r=8, lora_alpha=16, target_modules=targets, modules_to_save=["classifier"])
        model = get_peft_model(model, settings)
    return model.train()


class Block(nn.Module):
    """A pre-norm block: `h = x + attention(norm(x))`, `y = h + mlp(norm(h))`; query, key and value in one product."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)
        self.norm2 = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.fc1 = nn.Linear(WIDTH, MLP)
        self.fc2 = nn.Linear(MLP, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = x.shape
        qkv = self.qkv(self.norm1(x)).view(batch, tokens, 3, HEADS, WIDTH // HEADS)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, WIDTH))
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))


class Transformer(nn.Module):
    """Class token, position table, blocks and a last norm."""

    def __init__(self, positions: int, blocks: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.table = nn.Parameter(0.02 * torch.randn(1, 1 + positions, WIDTH))
        self.blocks = nn.ModuleList(Block() for _ in range(blocks))
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.table
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


class Bridge(nn.Module):
    """The adapter between the two transformers: `s + up(gelu(down(norm(s))))`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(WIDTH, eps=EPSILON)
        self.down = nn.Linear(WIDTH, width)
        self.up = nn.Linear(width, WIDTH)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, s: torch.Tensor) -> torch.Tensor:
        return s + self.up(F.gelu(self.down(self.norm(s))))


class Vivit(nn.Module):
    """ViViT's factorised encoder with a frozen spatial part, which runs without a tape."""

    def __init__(self, frames: int = 16, size: int = 112, tubelet: int = 2) -> None:
        super().__init__()
        self.tubelet = tubelet
        self.projection = nn.Linear(3 * tubelet * PATCH * PATCH, WIDTH)
        self.spatial = Transformer((size // PATCH) ** 2, 12)
        self.bridge = Bridge(64)
        self.temporal = Transformer(frames // tubelet, 4)
        self.head = nn.Linear(WIDTH, CLASSES)
        for part in (self.projection, self.spatial):
            part.requires_grad_(False)

    def features(self, clips: torch.Tensor) -> torch.Tensor:
        """One vector for each temporal position: `[batch, positions, width]`."""
        batch, frames, channels, height, width = clips.shape
        rows, columns, positions = height // PATCH, width // PATCH, frames // self.tubelet
        x = clips.view(batch, positions, self.tubelet, channels, rows, PATCH, columns, PATCH)
        x = x.permute(0, 1, 4, 6, 3, 2, 5, 7).reshape(batch * positions, rows * columns, -1)
        return self.spatial(self.projection(x)).view(batch, positions, WIDTH)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            features = self.features(clips)
        return self.head(self.temporal(self.bridge(features)))


class Logits(nn.Module):
    """A `transformers` model that gives its logits alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model(pixel_values=pixels).logits


def build(shape: str) -> nn.Module:
    """The model of a shape, from samples to logits."""
    if shape == "c":
        return Vivit().train()
    return Logits(image_model(lora=shape == "a"))


def sample_shape(shape: str) -> tuple[int, ...]:
    """Extents of one sample."""
    return (16, 3, 112, 112) if shape == "c" else (3, 224, 224)


def batch_size(shape: str) -> int:
    """Samples of one step."""
    return 64 if shape == "c" else 8
