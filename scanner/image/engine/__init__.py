"""Docker and Podman engines, one module for each thing that is asked of them."""
