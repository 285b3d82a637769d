// Relative, so that it works behind a proxy's path prefix. Without a validator: it would ask a host elsewhere.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
