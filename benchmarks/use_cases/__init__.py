"""The paper's use cases on real text and real models, each through the product, and the page of their figures."""
