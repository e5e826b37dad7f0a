"""What is logged while tests run."""

import structlog


def plainly() -> None:
    """Log in plain lines. Without a configuration, each variable of a traceback is shown, which takes seconds."""
    structlog.reset_defaults()
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
        ]
    )
