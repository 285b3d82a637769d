"""The OpenAPI document, made from the schemas that validate, and the page that shows it."""
