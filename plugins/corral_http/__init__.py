"""What HTTP dialects share: reading a body leniently, finding the model it names, server-sent events, whole answers.

The events are those of https://html.spec.whatwg.org/multipage/server-sent-events.html.  A dialect imports the modules
`address`, `decoding`, `error_objects`, `frames`, `names`, `nowhere`, `pieces`, `request_ids`, `unpacking` and
`unserved`; they are published, as they are, for third parties too.
"""
