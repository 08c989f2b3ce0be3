{
  "variables": {
    "sanitize%": "",
    "td_march%": "<!(node scripts/detect.cjs march)"
  },
  "target_defaults": {
    "defines": [
      "NAPI_VERSION=9",
      "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS",
      "_GNU_SOURCE",
      "TD_VERSION=\"<!(node scripts/detect.cjs version)\""
    ],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-fno-rtti"],
    "cflags_cc": [
      "-std=c++20", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror",
      "-fvisibility=hidden", "-fno-plt",
      "-isystem", "<!(node scripts/detect.cjs addon-api)",
      "-isystem", "<(node_root_dir)/include/node"
    ]
  },
  "conditions": [
    ["sanitize==''", {
      "targets": [{
        "target_name": "tdnative",
        "sources": ["<!@(node scripts/detect.cjs sources)"],
        "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except"],
        "cflags_cc": ["-O3", "-g1", "<(td_march)", "-flto=auto", "-D_FORTIFY_SOURCE=2", "-fstack-protector-strong"],
        "ldflags": ["-flto=auto", "-Wl,-z,relro,-z,now"]
      }]
    }],
    ["sanitize=='address'", {
      "targets": [{
        "target_name": "tdnative_asan",
        "sources": ["<!@(node scripts/detect.cjs sources)"],
        "dependencies": ["<!(node -p \"require('node-addon-api').targets\"):node_addon_api_except"],
        "cflags!": ["-O3", "-fomit-frame-pointer"],
        "cflags_cc": [
          "-O1", "-g", "<(td_march)", "-fno-omit-frame-pointer",
          "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"
        ],
        "ldflags": ["-fsanitize=address,undefined"]
      }]
    }]
  ]
}
