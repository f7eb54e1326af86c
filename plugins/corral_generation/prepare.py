"""Whether a model can do what a request asks, and the request with all that it leaves to the model filled in."""

from msgspec.structs import replace

from corral import ChatRequest, Description, Unsupported
from corral.kernel import Kernel
from corral_generation.options import options_in_force


def prepare(kernel: Kernel, request: ChatRequest, what: Description) -> tuple[ChatRequest, Description]:
    """The request with its options, and the description with the template in force.  Raises BadRequest, Unsupported."""
    model = what.model
    if request.template is not None:
        what = replace(what, template=kernel.templates["go"].compile(request.template, model.config.parser))
    have = what.capabilities | what.template.capabilities
    if request.think and "thinking" not in have:
        raise Unsupported(f'"{request.model}" does not support thinking')
    if "completion" not in have:
        verb = "chat" if request.prompt is None else "generate"
        why = "" if kernel.engines else f": there is no engine here{kernel.engines.hint}"
        raise Unsupported(f'"{request.model}" does not support {verb}{why}')
    images = request.images or any(message.images for message in request.messages)
    implied = {"tools": request.tools, "insert": request.suffix, "vision": images}
    needs = [*request.needs, *(need for need, given in implied.items() if given)]
    if missing := [need for need in needs if need not in have]:
        raise Unsupported(f"{model.ref.full_name} does not support " + "\n".join(missing))
    think = True if request.think is None and "thinking" in have else request.think
    return replace(request, think=think, options=options_in_force(kernel, what, request.overrides)), what
