"""Sequential recommenders, one file each. They know nothing of the harness that runs them."""

if __name__ != "srbench.models":
    raise ImportError(
        "import srbench.models, not models: from the checkout the same classes would exist twice."
    )
